"""LayerAnalysis: how alike the layers of a model are, and what is lost with fewer of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from interp.results.errors import CorruptFile
from interp.results.escape import html_text
from interp.results.finding import load_finding, save_finding
from interp.results.intervals import Interval
from interp.results.provenance import Provenance

SCHEMA = "interp.layers/1"
Estimator = Literal["debiased", "biased"]


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What is lost when one layer is skipped, and when another runs in its place."""

    loss_increase: Float[np.ndarray, " layers"]
    """Nats a token, without the layer."""
    interval: Float[np.ndarray, "layers 2"]
    """95% bootstrap over sequences."""
    final_cka: Float[np.ndarray, " layers"]
    """CKA of the last block's states with those of the whole model."""
    replaced_loss_increase: Float[np.ndarray, "layers layers"]
    """With the layer of the column in the place of that of the row; NaN where not measured."""
    replaced_final_cka: Float[np.ndarray, "layers layers"]


@dataclass(frozen=True, kw_only=True)
class Shortened:
    """The model of cluster, remove and share, against as many layers chosen otherwise."""

    kept: Int[np.ndarray, " kept"]
    """Layers whose weights are left: the centres of the clusters."""
    sources: Int[np.ndarray, " slots"]
    """Which kept layer runs in every slot of the whole model."""
    whole_loss: float
    """Nats a token of the whole model."""
    shared: Float[np.ndarray, " 3"]
    """Loss increase with the kept layers in all slots, and its 95% interval over sequences."""
    removed: Float[np.ndarray, " 3"]
    """With the kept layers run once each."""
    uniform: Float[np.ndarray, " 3"]
    """With as many evenly spaced layers in all slots."""
    random: Float[np.ndarray, " draws"]
    """With as many random layers in all slots."""

    @property
    def p(self) -> float:
        """(1 + draws that lose no more) / (1 + draws)."""
        return float((1 + (self.random <= self.shared[0]).sum()) / (1 + len(self.random)))


@dataclass(frozen=True, kw_only=True)
class Line:
    """The loss on the straight line between two checkpoints."""

    other: str
    other_hash: str | None
    at: Float[np.ndarray, " points"]
    """0 is the model, 1 the other."""
    loss: Float[np.ndarray, " points"]
    """Nats a token."""
    interval: Float[np.ndarray, "points 2"]
    """95% bootstrap over sequences."""
    barrier: Float[np.ndarray, " 3"]
    """max over the line of the loss less the line between its ends' losses, and its 95% interval;
    0 without a bump. The largest of noisy points is a little too large."""


@dataclass(frozen=True, kw_only=True)
class LayerAnalysis:
    """Similarity of all layers, their clusters, and the models with fewer layers."""

    estimator: Estimator
    cka: Float[np.ndarray, "layers layers"]
    cka_error: Float[np.ndarray, "layers layers"]
    """Standard error, by leaving out one minibatch at a time; NaN with one minibatch."""
    cka_null: Float[np.ndarray, "layers layers"]
    """The same estimate where one layer's examples are dealt anew."""
    floor: float
    """d/(d + n): about what the biased estimate gives independent layers; 0 for the debiased."""
    n_sequences: int
    minibatch: float
    d_model: int
    pooling: str
    clusters: Int[np.ndarray, " layers"]
    merges: Int[np.ndarray, " merges"]
    """All neighbours from the most alike down: l joins layers l and l + 1."""
    contrast: float
    contrast_null: Float[np.ndarray, " shifts"]
    contrast_p: float
    """Of more similarity inside clusters than across, at equal distance, than when the cuts are
    moved along the layers; NaN with one cluster or one a layer."""
    n_evaluated: int
    """Sequences, none of those above, whose loss is measured."""
    loss: float
    """Nats a token of the whole model on them."""
    removal: Removal | None
    shortened: Shortened | None
    line: Line | None
    provenance: Provenance

    def centres(self) -> list[int]:
        """The middle layer of every cluster."""
        members = [np.flatnonzero(self.clusters == label) for label in np.unique(self.clusters)]
        return [int(layers[len(layers) // 2]) for layers in members]

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """A heading and a line a layer."""
        heading = ["layer", "cluster", "CKA with next", "±", "by chance"]
        if self.removal is not None:
            heading += ["loss without it", "95%", "final CKA"]
        return tuple(heading), [self._line(layer) for layer in range(len(self.cka))]

    def _line(self, layer: int) -> tuple[str, ...]:
        centre = "*" if layer in self.centres() else ""
        cells = [str(layer), f"{self.clusters[layer]}{centre}"]
        if layer + 1 < len(self.cka):
            three = (self.cka, self.cka_error, self.cka_null)
            cells += [_number(of[layer, layer + 1]) for of in three]
        else:
            cells += ["", "", ""]
        if self.removal is not None:
            low, high = self.removal.interval[layer]
            cells += [f"{self.removal.loss_increase[layer]:+.3f}", f"[{low:+.3f}, {high:+.3f}]"]
            cells.append(_number(self.removal.final_cka[layer]))
        return tuple(cells)

    def notes(self) -> list[str]:
        """What stands below the table."""
        found = [
            f"{self.estimator} CKA of {self.pooling} states, n {self.n_sequences} sequences in "
            f"minibatches of {self.minibatch:.0f}, d {self.d_model}; independent layers: "
            f"{self.floor:.3f}",
            f"{len(self.centres())} clusters (* centre){self._contrast()}",
            f"loss of the whole model {self.loss:.3f} nats a token on {self.n_evaluated} others",
        ]
        if self.shortened is not None:
            found += _shortened_notes(self.shortened)
        if self.line is not None:
            barrier = Interval(*self.line.barrier.tolist())
            found.append(f"barrier on the line to {self.line.other}: {barrier} nats a token")
        return found

    def _contrast(self) -> str:
        if np.isnan(self.contrast):
            return ""
        said = f"; inside less across at equal distance {_number(self.contrast)}"
        if np.isnan(self.contrast_p) or not len(self.contrast_null):
            return said
        return f"{said}, p {_number(self.contrast_p)} of {len(self.contrast_null)} shifts"

    def __str__(self) -> str:
        heading, lines = self.table()
        widths = [max(map(len, column)) for column in zip(heading, *lines, strict=True)]
        rows = [
            "  ".join(c.rjust(w) for c, w in zip(r, widths, strict=True)) for r in [heading, *lines]
        ]
        return "\n".join([*rows, "", *self.notes()])

    def _repr_html_(self) -> str:
        return f"<pre>{html_text(str(self))}</pre>"

    def to_json(self) -> dict[str, Any]:
        """For `--json`: NaN as null."""
        header, arrays = self._halves()
        return {**header, **{name: _listed(array) for name, array in arrays.items()}}

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write a finding directory."""
        header, arrays = self._halves()
        return save_finding(
            Path(path), schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite
        )

    @classmethod
    def load(cls, path: Path | str) -> "LayerAnalysis":
        """Read what `save` wrote; CorruptFile where it is not whole."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)
        try:
            return _from_halves(header, arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFile(f"{path} is not a whole layer analysis ({error!r})") from error

    def _halves(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        header: dict[str, Any] = {}
        arrays: dict[str, np.ndarray] = {}
        for part in (None, *_PARTS):
            value = self if part is None else getattr(self, part)
            if value is None:
                continue
            of_part = header if part is None else header.setdefault(part, {})
            for name in value.__dataclass_fields__:
                _put(of_part, arrays, name, getattr(value, name), prefix=part)
        header["provenance"] = self.provenance.to_json()
        return header, arrays


_PARTS = {"removal": Removal, "shortened": Shortened, "line": Line}


def _put(
    header: dict[str, Any],
    arrays: dict[str, np.ndarray],
    name: str,
    value: Any,
    *,
    prefix: str | None,
) -> None:
    if name in _PARTS or name == "provenance":
        return
    if isinstance(value, np.ndarray):
        arrays[name if prefix is None else f"{prefix}.{name}"] = value
    elif isinstance(value, float) and np.isnan(value):
        header[name] = None
    else:
        header[name] = value


def _from_halves(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> LayerAnalysis:
    parts: dict[str, Any] = {}
    for part, kind in _PARTS.items():
        inside = header.get(part)
        of_part = {n.split(".", 1)[1]: a for n, a in arrays.items() if n.startswith(f"{part}.")}
        parts[part] = None if inside is None else kind(**inside, **of_part)
    fields = LayerAnalysis.__dataclass_fields__
    plain = {name: header[name] for name in fields if name in header and name not in parts}
    for name in ("contrast", "contrast_p"):
        plain[name] = float("nan") if plain[name] is None else plain[name]
    own = {name: array for name, array in arrays.items() if "." not in name}
    plain["provenance"] = Provenance.from_json(header["provenance"])
    return LayerAnalysis(**plain, **own, **parts)


def _shortened_notes(found: Shortened) -> list[str]:
    if len(found.kept) == len(found.sources):
        return ["every layer is a cluster of its own: nothing to shorten"]
    rows = {"kept in all slots": found.shared, "kept once each": found.removed}
    rows["evenly spaced in all slots"] = found.uniform
    lines = [f"keeping {', '.join(map(str, found.kept))}: loss increase in nats a token"]
    lines += [f"  {name}: {Interval(*values.tolist())}" for name, values in rows.items()]
    spread = (
        f"{found.random.min():.3f} to {found.random.max():.3f}" if len(found.random) else "none"
    )
    lines.append(
        f"  random layers in all slots: {spread} (n {len(found.random)}); p {found.p:.3f} of "
        "losing no more"
    )
    return lines


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def _listed(array: np.ndarray) -> Any:
    if array.dtype.kind != "f":
        return array.tolist()
    listed = array.astype(object)
    listed[np.isnan(array)] = None
    return listed.tolist()
