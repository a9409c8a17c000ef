"""ActivityRule: when a neuron counts as active, by name and threshold."""

from dataclasses import dataclass
from typing import Literal, get_args

from interp.results.errors import BadInput

RuleName = Literal["relu", "abs", "relmax", "topk", "cett"]
NAMES: tuple[RuleName, ...] = get_args(RuleName)


@dataclass(frozen=True, kw_only=True)
class ActivityRule:
    """One rule for every layer, so that layers can be compared.

    `relu`: h ≠ 0, which for ReLU is h > 0, and is exact under a ReLU gate too. `abs`: |h| ≥ ε, one
    ε for all layers. `relmax`: |h| ≥ max|h| / c within the token (2310.04361). `topk`: the k
    largest |h| of a token. `cett`: ‖h_i W_out[i]‖ ≥ ε, with the ε of each layer found from the data
    such that what is dropped is a share θ of the layer's output: the mean over tokens of
    ‖Σ dropped‖ / ‖Σ all‖ (2402.03804).
    """

    name: RuleName
    value: float | None
    """ε, c, k or θ; None for relu."""

    @classmethod
    def parse(cls, text: str) -> "ActivityRule":
        """`relu`, `abs:0.1`, `relmax:100`, `topk:32`, `cett:0.2`; BadInput for anything else."""
        name, _, value = text.partition(":")
        known: RuleName | None = next((known for known in NAMES if known == name), None)
        if known is None or (known == "relu") != (value == ""):
            raise BadInput(
                f"rule {text!r}: give relu, abs:EPSILON, relmax:C, topk:K or cett:THETA, as in "
                "cett:0.2"
            )
        return cls(name=known, value=None if known == "relu" else _number(text, value))

    def __post_init__(self) -> None:
        value = 0.0 if self.value is None else self.value
        bounds = {"abs": (0, None), "relmax": (1, None), "topk": (1, None), "cett": (0, 1)}
        low, high = bounds.get(self.name, (None, None))
        if (low is not None and not value >= low) or (high is not None and value > high):
            raise BadInput(
                f"rule {self}: the number must be at least {low}"
                + ("" if high is None else f" and at most {high}")
            )
        if self.name == "topk" and value != int(value):
            raise BadInput(f"rule {self}: a whole number of neurons")

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}:{self.value:g}"


def _number(text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise BadInput(f"rule {text!r}: {value!r} is no number") from error
