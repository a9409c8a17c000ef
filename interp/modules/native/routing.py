"""NativeRouting: how a model's own routers use its own experts over a text."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float64

from interp.modules.native.capacity_effect import COUNTS, CapacityEffect
from interp.modules.native.functions import FunctionRouting
from interp.modules.native.load import RouterLoad
from interp.modules.native.overlap import ExpertOverlap
from interp.modules.native.restriction_effect import RestrictionEffect
from interp.results.errors import BadInput, CorruptFile
from interp.results.escape import html_text
from interp.results.finding import load_finding, save_finding
from interp.results.provenance import Provenance

SCHEMA = "interp.native-routing/1"
Part = TypeVar("Part")


@dataclass(frozen=True, kw_only=True)
class NativeRouting:
    """Load, overlap, functions and capacity of every mixture-of-experts layer of one model."""

    style: str
    """mixtral, olmoe, qwen2-moe, qwen3-moe or switch."""
    sites: tuple[str, ...]
    """The layers, in order: blocks.0.mlp and on; an encoder's before a decoder's."""
    n_experts: int
    top_k: int
    """Experts that each token chooses."""
    n_neurons: int
    """Of each expert."""
    own_capacity: int | None
    """Tokens of one sequence that an expert takes in this model; None without a limit."""
    recomputation_error: Float64[np.ndarray, " layers"]
    """Largest difference between the experts' weighted sum and the block's output on the first
    batch, over the largest output: what is read is what the model does."""
    router_load: RouterLoad
    overlap: ExpertOverlap
    functions: FunctionRouting | None
    """None without a function label."""
    capacity: CapacityEffect | None
    """None where no capacity was stated and the model has none."""
    restriction: RestrictionEffect | None
    """None where it was not asked for."""
    provenance: Provenance

    @property
    def even_share(self) -> float:
        """Share of assignments that each expert would get evenly."""
        return 1 / self.n_experts

    @property
    def largest_entropy(self) -> float:
        """Entropy in bits of even routing."""
        return float(np.log2(self.n_experts))

    def layer(self, site: str) -> int:
        """Index of a layer by its site; BadInput with those there are."""
        if site not in self.sites:
            raise BadInput(f"no mixture of experts at {site!r}: there are {', '.join(self.sites)}")
        return self.sites.index(site)

    def save(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write to the directory `path`, whole or not at all."""
        header: dict[str, Any] = {name: getattr(self, name) for name in _NAMES}
        header |= {"sites": list(self.sites), "provenance": self.provenance.to_json()}
        arrays = {"recomputation_error": self.recomputation_error}
        for name in _PARTS:
            part = getattr(self, name)
            header[name] = None if part is None else _plain_fields(part)
            arrays |= {} if part is None else _array_fields(part, name)
        return save_finding(path, schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite)

    @classmethod
    def load(cls, path: Path | str) -> "NativeRouting":
        """Read what `save` wrote; CorruptFile if header and arrays do not fit together."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)
        try:
            parts: dict[str, Any] = {
                name: _part(kind, name, header, arrays) for name, kind in _PARTS.items()
            }
            return cls(
                style=header["style"],
                n_experts=header["n_experts"],
                top_k=header["top_k"],
                n_neurons=header["n_neurons"],
                own_capacity=header["own_capacity"],
                sites=tuple(header["sites"]),
                recomputation_error=arrays["recomputation_error"],
                provenance=Provenance.from_json(header["provenance"]),
                **parts,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFile(f"{path} is not a whole native routing ({error})") from error

    def notes(self) -> list[str]:
        """What the numbers are of, in sentences."""
        load = self.router_load
        lines = [
            f"{self.style}: {len(self.sites)} layers of {self.n_experts} experts of "
            f"{self.n_neurons:,} neurons, {self.top_k} chosen by each of {load.n_tokens:,} tokens "
            f"of {load.n_documents:,} documents; intervals are over documents. Even load has "
            f"{self.largest_entropy:.2f} bits",
            f"recomputed from its experts, a block differs from the model by at most "
            f"{self.recomputation_error.max():.1e} of its largest output",
        ]
        if self.functions is not None:
            found = self.functions
            n = found.needed_at_smallest()
            lines.append(
                f"functions: labels permuted over {found.unit}; {found.label} itself has "
                f"{found.function_entropy:.2f} bits"
                + (
                    f"; of {found.p.size:,} tests of an expert, {n:,} must reach the smallest p "
                    f"of {found.smallest_p:.2g} before one is significant: raise --permutations"
                    if n > 1
                    else ""
                )
            )
        if self.capacity is not None:
            rule = self.capacity.rule
            stated = "the model's own" if rule["factor"] is None else f"factor {rule['factor']}"
            lines.append(
                f"capacity: {stated}, {self.capacity.mean_capacity:.1f} tokens an expert and group "
                f"on average, {self.capacity.n_groups:,} groups of {rule['group_sequences']} "
                f"sequence(s) on {rule['devices']} device(s), first by {rule['order']}; intervals "
                "are over groups"
            )
            lines.append(
                "recovered (2402.12399): dropped assignments by an expert of the token's own "
                "device, beyond its slots or into empty ones; empty slots by tokens whose next "
                "choice the expert is, surest first"
            )
        if self.restriction is not None:
            effect = self.restriction
            lines.append(
                f"restricted routers: change of the loss in nats a token when {_WHAT[effect.mode]},"
                f" beside {effect.n_draws} draws of as many experts a layer; experts were chosen "
                f"on {effect.n_choosing:,} documents and losses are of {effect.n_measured:,} others"
            )
        return lines

    def to_json(self) -> dict[str, Any]:
        """The summary for machines, NaN as null; matrices over pairs and draws stay in the file."""
        content: dict[str, Any] = {name: getattr(self, name) for name in _NAMES}
        content |= {"sites": self.sites, "recomputation_error": self.recomputation_error}
        content["router_load"] = vars(self.router_load)
        lift, z = self.overlap.lift, self.overlap.cosine_z
        content["overlap"] = {
            "together_p": self.overlap.together_p,
            "largest_lift": np.nan_to_num(lift, nan=-np.inf).max(axis=(1, 2)),
            "largest_cosine_z": np.nan_to_num(z, nan=-np.inf).max(axis=(1, 2)),
        }
        content["functions"] = self.functions and self.functions.summary()
        content["capacity"] = self.capacity and {**vars(self.capacity), "names": COUNTS}
        content["restriction"] = self.restriction and self.restriction.summary()
        content["provenance"] = self.provenance.to_json()
        return _jsonable(content)

    def __repr__(self) -> str:
        return (
            f"<NativeRouting of a {self.style} model: {len(self.sites)} layers of "
            f"{self.n_experts} experts, {self.top_k} a token, over "
            f"{self.router_load.n_tokens:,} tokens>"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html_text(repr(self))}</p>"


_WHAT = {
    "forbid": "a function's experts are closed",
    "only": "all but a function's experts are closed",
}
_NAMES = ("style", "n_experts", "top_k", "n_neurons", "own_capacity")
_PARTS: dict[str, Any] = {
    "router_load": RouterLoad,
    "overlap": ExpertOverlap,
    "functions": FunctionRouting,
    "capacity": CapacityEffect,
    "restriction": RestrictionEffect,
}


def _jsonable(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _jsonable(value.tolist())
    if isinstance(value, dict):
        return {key: _jsonable(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _array_fields(part: Any, name: str) -> dict[str, np.ndarray]:
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    return {f"{name}.{key}": v for key, v in values.items() if isinstance(v, np.ndarray)}


def _plain_fields(part: Any) -> dict[str, Any]:
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    return {
        key: list(v) if isinstance(v, tuple) else v
        for key, v in values.items()
        if not isinstance(v, np.ndarray)
    }


def _part(
    kind: type[Part], name: str, header: dict[str, Any], arrays: dict[str, np.ndarray]
) -> Part | None:
    if header[name] is None:
        return None
    plain = {key: tuple(v) if isinstance(v, list) else v for key, v in header[name].items()}
    own = {k.removeprefix(f"{name}."): v for k, v in arrays.items() if k.startswith(f"{name}.")}
    return kind(**plain, **own)
