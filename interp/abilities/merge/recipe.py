"""The settings of a merge: one rule's every choice, and the presets that belong together."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from interp.abilities.moving.recipe import check_finite
from interp.results.errors import BadInput

MethodName = Literal["task_arithmetic", "ties", "dare_linear", "dare_ties", "linear", "slerp"]
Numerics = Literal["exact", "mergekit"]
Scope = Literal["tensor", "model"]
Conflict = Literal["none", "plus", "majority"]
Keep = Literal["floor", "paper"]
Rescale = Literal["density", "l1", "none"]
PresetName = Literal["exact", "mergekit", "paper"]

_TRIMS = ("ties",)
_DROPS = ("dare_linear", "dare_ties")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Choices that belong together; what a call gives itself comes before them."""

    numerics: Numerics
    density: float
    """Share of every model's difference that TIES and DARE keep."""
    scope: Scope
    zero: Conflict
    keep: Keep
    rescale: Rescale


PRESETS: dict[PresetName, Preset] = {
    "exact": Preset(
        numerics="exact", density=0.2, scope="tensor", zero="none", keep="floor", rescale="density"
    ),
    "mergekit": Preset(
        numerics="mergekit", density=1.0, scope="tensor", zero="plus", keep="floor", rescale="l1"
    ),
    "paper": Preset(
        numerics="exact", density=0.2, scope="model", zero="majority", keep="paper",
        rescale="density",
    ),
}  # fmt: skip
"""exact: our own rules, sums in float32. mergekit: those of mergekit 0.1.5, in the models' own
format. paper: those of the papers' code (TIES 2306.01708, DARE 2311.03099)."""


@dataclass(frozen=True, kw_only=True)
class MergeRecipe:
    """How models are merged. A setting that its method does not know has no effect."""

    method: MethodName
    numerics: Numerics
    """exact: float32 (float64 for float64), rounded once. mergekit: every step rounded to the
    models' own format, in mergekit 0.1.5's order."""
    weights: tuple[float, ...]
    """Of every model, in order. All methods but SLERP."""
    scale: float
    """Of the sum of the differences to the base (lambda). Not linear and SLERP."""
    normalize: bool
    """Whether the sum is divided by the weights that went into it. Not SLERP."""
    density: tuple[float, ...]
    """Share of every model's difference to the base that is kept. TIES and DARE."""
    scope: Scope
    """Whether TIES trims each tensor to its density or the whole model to it."""
    zero: Conflict
    """What TIES and DARE with signs make of an entry whose weighted differences cancel: nothing,
    plus, or the sign of most entries of its scope, DARE's being the tensor."""
    keep: Keep
    """floor: TIES keeps max(1, floor(density n)) entries, the first of equals. paper: all that
    reach the largest one that is to go, so one more, and every equal of it."""
    rescale: Rescale
    """What DARE multiplies the kept entries by: 1 / density, what restores the tensor's L1 norm, or
    nothing."""
    t: float
    """SLERP: 0 is the base, 1 the model."""
    seed: int
    """Of DARE's random entries."""

    def __post_init__(self) -> None:
        check_finite("a weight", *self.weights)
        check_finite("lambda", self.scale)
        check_finite("t", self.t)
        for density in self.density:
            if not 0.0 <= density <= 1.0:
                raise BadInput(f"density is {density}: it is a share of entries, from 0 to 1")
        if self.method == "slerp" and len(self.weights) != 1:
            raise BadInput(f"slerp goes from the base to one model, and {self._n} were given")
        if self.method == "linear" and self.normalize and sum(self.weights) == 0.0:
            raise BadInput("the weights add up to 0: a mean of the models needs other weights")

    @classmethod
    def of(
        cls,
        method: MethodName,
        *,
        n_models: int,
        preset: PresetName = "exact",
        weights: Sequence[float] | None = None,
        scale: float = 1.0,
        normalize: bool | None = None,
        density: float | Sequence[float] | None = None,
        scope: Scope | None = None,
        zero: Conflict | None = None,
        keep: Keep | None = None,
        rescale: Rescale | None = None,
        t: float | None = None,
        seed: int = 0,
    ) -> "MergeRecipe":
        """A recipe with the preset's choices where none is given; weights are 1 by default.

        Raises BadInput where a number of values is not that of the models.
        """
        chosen = PRESETS[preset]
        share = chosen.density if density is None else density
        if method == "slerp" and t is None:
            raise BadInput("slerp needs t: 0 is the base, 1 the model")
        return cls(
            method=method,
            numerics=chosen.numerics,
            weights=_each(1.0 if weights is None else weights, n_models, "weights"),
            scale=scale,
            normalize=method in ("ties", "linear") if normalize is None else normalize,
            density=_each(share if method in (*_TRIMS, *_DROPS) else 1.0, n_models, "densities"),
            scope=(scope or chosen.scope) if method in _TRIMS else "tensor",
            zero=zero or chosen.zero,
            keep=keep or chosen.keep,
            rescale=rescale or chosen.rescale,
            t=0.0 if t is None else t,
            seed=seed,
        )

    @property
    def _n(self) -> int:
        return len(self.weights)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "weights": list(self.weights), "density": list(self.density)}


def _each(values: float | Sequence[float], n: int, name: str) -> tuple[float, ...]:
    each = (values,) * n if isinstance(values, int | float) else tuple(values)
    if len(each) != n:
        raise BadInput(f"{len(each)} {name} for {n} models: give one each")
    return tuple(float(one) for one in each)
