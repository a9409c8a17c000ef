"""Partition: which expert each neuron of one layer belongs to, and how it came about."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int, Int32, Int64, Shaped

from interp.modules.partition_quality import PartitionQuality
from interp.results.errors import BadInput, CorruptFile, Mismatch
from interp.results.escape import html_text
from interp.results.finding import load_finding, save_finding
from interp.results.provenance import Provenance

SCHEMA = "interp.partition/1"


class SeedAgreement(NamedTuple):
    """Adjusted Rand index between the partitions of different starts, over all pairs of them.

    NaN for fewer than two starts. Near 0 the method found nothing that it finds again, whatever
    its objective says.
    """

    mean: float
    min: float


@dataclass(frozen=True, kw_only=True)
class Partition:
    """An expert for every neuron of a layer, with how far another start would have agreed."""

    site: str
    """Hook name of the neurons, as blocks.3.mlp.hook_post."""
    labels: Int32[np.ndarray, " neurons"]
    """Expert of every neuron; experts are numbered by their smallest member."""
    n_experts: int
    kind: str
    """random, weights, coactivation-phi-spectral, louvain, native, ..."""
    objective: float
    """What the method minimised or maximised, as `objective_name` says; NaN where it did not."""
    objective_name: str
    null_objective: Float64[np.ndarray, " draws"]
    """The same of random partitions of the same sizes; empty where there is no objective."""
    seeds: tuple[int, ...]
    """Of the starts, each a generator of its own; empty where nothing is random."""
    rounds: tuple[int, ...]
    """Rounds until each start settled; 1 means that it stopped where it began."""
    seed_ari: SeedAgreement
    dead: Bool[np.ndarray, " neurons"]
    """Neurons that took no part and were dealt to experts with room at the end."""
    model_hash: str | None
    provenance: Provenance
    quality: PartitionQuality | None = field(default=None)
    """Modularity on a co-activation graph beside its nulls; None where no graph was there."""

    def __post_init__(self) -> None:
        labels, n = self.labels, self.n_experts
        if labels.ndim != 1 or labels.shape != self.dead.shape:
            raise Mismatch(
                f"labels of shape {labels.shape}, dead of shape {self.dead.shape}: expected "
                "one of each for every neuron"
            )
        used = np.unique(labels)
        if not np.array_equal(used, np.arange(n)):
            raise BadInput(
                f"{n} experts, and {len(used)} numbers among the labels of {len(labels)} neurons: "
                f"every expert from 0 to {n - 1} has a member"
            )

    @classmethod
    def of(
        cls,
        labels: Int[np.ndarray, " neurons"],
        *,
        site: str,
        kind: str,
        model_hash: str | None,
        provenance: Provenance,
        dead: Bool[np.ndarray, " neurons"] | None = None,
    ) -> "Partition":
        """A partition that was given and not searched for: planted, native or drawn at random.

        Experts are numbered again by their smallest member.
        """
        own = canonical(labels)
        return cls(
            site=site,
            labels=own,
            n_experts=int(own.max(initial=-1)) + 1,
            kind=kind,
            objective=float("nan"),
            objective_name="none",
            null_objective=np.zeros(0),
            seeds=() if provenance.seed is None else (provenance.seed,),
            rounds=(),
            seed_ari=SeedAgreement(float("nan"), float("nan")),
            dead=np.zeros(len(own), bool) if dead is None else dead,
            model_hash=model_hash,
            provenance=provenance,
        )

    @property
    def n_neurons(self) -> int:
        """Neurons of the layer."""
        return len(self.labels)

    @property
    def sizes(self) -> Int64[np.ndarray, " experts"]:
        """Neurons of every expert."""
        return np.bincount(self.labels, minlength=self.n_experts)

    @property
    def is_balanced(self) -> bool:
        """Whether all experts have the same size; communities need not."""
        return bool(np.ptp(self.sizes) == 0)

    @property
    def size(self) -> int:
        """Neurons of each expert. Raises BadInput where they are not of one size."""
        if not self.is_balanced:
            raise BadInput(
                f"the experts of this {self.kind} partition have {self.sizes.min()} to "
                f"{self.sizes.max()} neurons: use one of equal sizes, or `sizes`"
            )
        return int(self.sizes[0])

    def masks(self) -> Bool[np.ndarray, "experts neurons"]:
        """Whether each neuron is in each expert."""
        return self.labels[None, :] == np.arange(self.n_experts)[:, None]

    def members(self, expert: int) -> Int64[np.ndarray, " members"]:
        """Neurons of one expert, in order; BadInput if there is no such expert."""
        if not 0 <= expert < self.n_experts:
            raise BadInput(f"expert {expert}: there are experts 0 to {self.n_experts - 1}")
        return np.flatnonzero(self.labels == expert)

    def permutation(self) -> Int64[np.ndarray, " neurons"]:
        """Neurons expert by expert: row i of the grouped layer is row permutation()[i] of ours."""
        return np.argsort(self.labels, kind="stable")

    def ari(self, other: "Partition", *, live_only: bool = False) -> float:
        """Adjusted Rand index (Hubert and Arabie 1985): 1 the same partition, 0 as by chance.

        `live_only` leaves out what is dead in either: dead neurons are dealt in the order of their
        index, so two partitions agree on them for no reason.
        """
        from sklearn.metrics import adjusted_rand_score

        return float(adjusted_rand_score(*self._beside(other, live_only)))

    def nmi(self, other: "Partition", *, live_only: bool = False) -> float:
        """Normalised mutual information (arithmetic mean): 1 the same. By chance it is above 0."""
        from sklearn.metrics import normalized_mutual_info_score

        return float(normalized_mutual_info_score(*self._beside(other, live_only)))

    def save(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write to the directory `path`, whole or not at all."""
        header = {
            "site": self.site,
            "kind": self.kind,
            "n_experts": self.n_experts,
            "objective_name": self.objective_name,
            "seeds": list(self.seeds),
            "rounds": list(self.rounds),
            "model_hash": self.model_hash,
            "quality": self.quality and self.quality.header(),
            "provenance": self.provenance.to_json(),
        }
        arrays = {
            "labels": self.labels,
            "dead": self.dead,
            "objective": np.array([self.objective]),
            "null_objective": self.null_objective,
            "seed_ari": np.array(self.seed_ari),
            **(self.quality.arrays() if self.quality else {}),
        }
        return save_finding(path, schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite)

    @classmethod
    def load(cls, path: Path | str) -> "Partition":
        """Read what `save` wrote; CorruptFile if header and arrays do not fit together."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)
        try:
            quality = header["quality"]
            mean, least = arrays["seed_ari"].tolist()
            return cls(
                site=header["site"],
                kind=header["kind"],
                n_experts=header["n_experts"],
                objective_name=header["objective_name"],
                seeds=tuple(header["seeds"]),
                rounds=tuple(header["rounds"]),
                model_hash=header["model_hash"],
                provenance=Provenance.from_json(header["provenance"]),
                labels=arrays["labels"],
                dead=arrays["dead"],
                objective=float(arrays["objective"][0]),
                null_objective=arrays["null_objective"],
                seed_ari=SeedAgreement(mean, least),
                quality=quality and PartitionQuality.read(quality, arrays),
            )
        except (KeyError, IndexError, TypeError, ValueError, BadInput, Mismatch) as error:
            raise CorruptFile(f"{path} is not a whole partition ({error})") from error

    def to_json(self) -> dict[str, Any]:
        """The summary for machines, without the labels; NaN as null."""
        quality = self.quality
        null = self.null_objective
        return {
            "site": self.site,
            "kind": self.kind,
            "n_neurons": self.n_neurons,
            "n_experts": self.n_experts,
            "smallest": int(self.sizes.min()),
            "largest": int(self.sizes.max()),
            "n_dead": int(self.dead.sum()),
            "objective": {
                "name": self.objective_name,
                "value": _plain(self.objective),
                "random_mean": _plain(null.mean()) if len(null) else None,
                "random_sd": _plain(null.std(ddof=1)) if len(null) > 1 else None,
                "random_n": len(null),
            },
            "seeds": list(self.seeds),
            "rounds": list(self.rounds),
            "seed_ari": {"mean": _plain(self.seed_ari.mean), "min": _plain(self.seed_ari.min)},
            "quality": quality
            and {
                "affinity": quality.affinity,
                "q": _plain(quality.q),
                "n_rows": quality.n_rows,
                "random": {"mean": _mean(quality.random), "n": len(quality.random),
                           "z": _plain(quality.z_random), "p": _plain(quality.p_random)},
                "shuffled": {"mean": _mean(quality.shuffled), "n": len(quality.shuffled),
                             "z": _plain(quality.z), "p": _plain(quality.p)},
            },
        }  # fmt: skip

    def __repr__(self) -> str:
        sizes = self.sizes
        of = f"{sizes.min()}" if self.is_balanced else f"{sizes.min()} to {sizes.max()}"
        return (
            f"<Partition of {self.site}: {self.n_neurons} neurons in {self.n_experts} experts of "
            f"{of}, {self.kind}, seed-to-seed ARI {self.seed_ari.mean:.3f}>"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html_text(repr(self))}</p>"

    def _beside(
        self, other: "Partition", live_only: bool
    ) -> tuple[Int32[np.ndarray, " neurons"], Int32[np.ndarray, " neurons"]]:
        if self.n_neurons != other.n_neurons:
            raise Mismatch(
                f"a partition of {self.n_neurons} neurons and one of {other.n_neurons}: only "
                "partitions of the same neurons can be compared"
            )
        kept = ~(self.dead | other.dead) if live_only else np.ones(self.n_neurons, bool)
        if not kept.any():
            raise BadInput("no neuron is alive in both partitions: there is nothing to compare")
        return self.labels[kept], other.labels[kept]


def canonical(labels: Int[np.ndarray, " neurons"]) -> Int32[np.ndarray, " neurons"]:
    """The same partition with its experts numbered from 0 by their smallest member."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[inverse]


def expert_size(n_neurons: int, n_experts: int) -> int:
    """Neurons of each of `n_experts` equal experts; BadInput with both numbers if they do not fit.

    Some numbers that would fit are named.
    """
    if n_experts < 1 or n_neurons % n_experts:
        fitting = [n for n in range(1, n_neurons + 1) if n_neurons % n == 0]
        near = sorted(sorted(fitting, key=lambda n: abs(n - n_experts))[:3])
        raise BadInput(
            f"{n_neurons} neurons cannot be dealt to {n_experts} experts of one size: give a "
            f"number that divides {n_neurons}, such as {', '.join(map(str, near))}"
        )
    return n_neurons // n_experts


def _plain(value: Shaped[np.ndarray, ""] | float) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None


def _mean(values: Float64[np.ndarray, " draws"]) -> float | None:
    return float(values.mean()) if len(values) else None
