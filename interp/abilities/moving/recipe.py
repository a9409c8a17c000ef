"""The settings of extraction and transfer: every coefficient, and where it came from."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from interp.results.errors import BadInput

Selection = Literal["least", "most", "random", "none"]
SimilaritySupport = Literal["mask", "all"]


def check_finite(name: str, *values: float) -> None:
    """Raise BadInput naming the first value that is no number to multiply weights by."""
    for value in values:
        if not math.isfinite(value):
            raise BadInput(f"{name} is {value}: expected a finite number")


def check_share_of_tensors(k2: float) -> float:
    """`k2` itself. Raises BadInput outside [0, 1]."""
    if not 0.0 <= k2 <= 1.0:
        raise BadInput(f"k2 is {k2}: it is a share of tensors, from 0 to 1")
    return k2


@dataclass(frozen=True, kw_only=True)
class ExtractionRecipe:
    """How ability weights were taken: R(A) = M * (alpha (A - base) - beta (general - base))."""

    alpha: float
    """Of the ability model's difference to the base."""
    beta: float
    """Of the general control's difference to the base; 0 without a control."""
    ability: str
    """Root hash of the ability model."""
    general: str | None
    """Root hash of the model trained on general data alone; None where beta is 0."""
    mask: dict[str, Any] | None
    """The recipe of the mask M; None where M is everything."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "ExtractionRecipe":
        """The inverse of `to_json`; a missing key raises KeyError."""
        return cls(**{name: content[name] for name in cls.__dataclass_fields__})

    @property
    def exact(self) -> bool:
        """Whether adding these weights to the base gives the ability model back."""
        return self.alpha == 1.0 and self.beta == 0.0


@dataclass(frozen=True, kw_only=True)
class TransferRecipe:
    """How abilities and languages were added: formula (5) of the MAET reading (2410.07825).

    selected tensors: base + sum_i gamma_i R(A_i) + eta R_Lang, the others: base + eta_rest R_Lang,
    with R_Lang = sum_j mu_j (L_j - base).
    """

    gamma: tuple[float, ...]
    """Of every ability's weights, in order."""
    mu: tuple[float, ...]
    """Of every language model's difference to the base, in order."""
    eta: float
    """Of the language weights in selected tensors."""
    eta_rest: float
    """Of the language weights in all other tensors."""
    k2: float
    """Share of the tensors with ability weights that is selected."""
    select: Selection
    """Which tensors: those whose ability weights are least (or most) like the language weights."""
    sim_support: SimilaritySupport
    """Whether likeness is measured on the ability's entries or on the whole tensor."""
    sim_absolute: bool
    """Whether tensors are ranked by the cosine's size instead of its signed value."""
    seed: int
    """Of the random selection; without effect on the others."""
    types: tuple[str, ...] | None = None
    """The only types of tensors that abilities are added to (q, norm, ...); None: all."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        lists = {"gamma": list(self.gamma), "mu": list(self.mu)}
        return {**asdict(self), **lists, "types": self.types and sorted(self.types)}


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings that belong together, for the command line's `--preset`."""

    k1: float
    beta: float
    k2: float


PRESETS = {
    "maet": Preset(k1=0.05, beta=0.25, k2=0.8),
    "plain": Preset(k1=1.0, beta=0.0, k2=1.0),
}
"""maet is our reading of the paper, whose own values are not known; plain adds both vectors."""
