"""StageRecipe and AlloRecipe: every setting of an alignment, and the presets as data."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from interp.abilities.moving.recipe import check_finite
from interp.results.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class StageRecipe:
    """One stage of an alignment: what it minimizes, for how long and in which entries."""

    stage: str
    """warmup and dpo minimize DPO's loss, forget and learn ALLO's two."""
    steps: int | None = None
    """Updates; None is one pass over the pairs."""
    lr: float = 1e-6
    """Reached after the warm-up of the rate; from there half a cosine to 0. AdamW."""
    batch_size: int = 32
    """Pairs an update, over all processes and pieces."""
    warmup_ratio: float = 0.1
    """Share of the steps in which the rate rises."""
    beta: float = 0.1
    epsilon: float = 1.0
    """Share of a rejected answer's tokens that learning takes."""
    select: Literal["largest", "smallest"] = "largest"
    """Whether it takes those that fell most, or those that fell least."""
    count_from: Literal["answer", "padded"] = "answer"
    """What epsilon is a share of: the answer's tokens, or the padded length with the prompt."""
    share: float = 1.0
    """Share of the model's entries that may move, those the warm-up changed most; 1 is all."""
    weight_decay: float = 0.0
    clip_norm: float | None = None
    """Norm that the gradient of the trained entries is cut to; None leaves it."""
    accumulate: int = 1
    """Pieces that a process's part of a batch is cut into, for memory; the update is the same."""
    freeze_embeddings: bool = False
    """Whether the tables of tokens and positions stay as they are."""
    seed: int = 0
    """Of the order of the pairs; the same under every mask."""

    def __post_init__(self) -> None:
        check_finite("lr, weight decay, beta", self.lr, self.weight_decay, self.beta)
        if self.steps is not None and self.steps < 1:
            raise BadInput(f"{self.stage}: {self.steps} steps, expected at least 1")
        if self.accumulate < 1 or self.batch_size < self.accumulate:
            raise BadInput(
                f"{self.stage}: a batch of {self.batch_size} pairs in {self.accumulate} pieces: "
                "expected a pair or more in each"
            )
        if self.lr <= 0 or self.beta <= 0 or self.weight_decay < 0:
            raise BadInput(
                f"{self.stage}: lr {self.lr}, beta {self.beta}, weight decay {self.weight_decay}: "
                "expected lr and beta above 0 and no negative decay"
            )
        for name, value in (("share", self.share), ("epsilon", self.epsilon)):
            if not 0 < value <= 1:
                raise BadInput(f"{self.stage}: {name} {value}, expected above 0 and at most 1")
        if not 0 <= self.warmup_ratio <= 1:
            raise BadInput(f"{self.stage}: warm-up ratio {self.warmup_ratio}, expected 0 to 1")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise BadInput(f"{self.stage}: clip norm {self.clip_norm}, expected above 0")

    def steps_for(self, n_pairs: int) -> int:
        """Updates on so many pairs."""
        return math.ceil(n_pairs / self.batch_size) if self.steps is None else self.steps

    def rising_steps(self, steps: int) -> int:
        """Updates in which the rate rises, of `steps` in all."""
        return math.ceil(self.warmup_ratio * steps - 1e-9)


@dataclass(frozen=True, kw_only=True)
class AlloRecipe:
    """The stages of an alignment in order, and how a warm-up becomes masks."""

    stages: tuple[StageRecipe, ...]
    locator: str = "change"
    """How entries are ranked once the warm-up is done; any that needs no more than its change."""
    weights: str = "rejected_weights"
    """The column of the pairs with a number for every token of the rejected answer."""

    def __post_init__(self) -> None:
        names = [stage.stage for stage in self.stages]
        if not names or len(set(names)) < len(names):
            raise BadInput(f"stages {', '.join(names) or 'none'}: name at least one, each once")
        if "warmup" in names[1:] or names == ["warmup"]:
            raise BadInput(
                f"stages {', '.join(names)}: the warm-up only locates entries: it comes first and "
                "another stage after it"
            )

    def stage(self, name: str) -> StageRecipe:
        """The stage of this name. Raises BadInput where there is none."""
        for stage in self.stages:
            if stage.stage == name:
                return stage
        raise BadInput(f"no stage {name!r}: this recipe has {', '.join(_names(self.stages))}")

    def only(self, *names: str) -> "AlloRecipe":
        """The recipe with these of its stages, in this order."""
        return replace(self, stages=tuple(self.stage(name) for name in names))

    def steps_for(self, n_pairs: int) -> dict[str, int]:
        """Updates of every stage: all of them are the budget, the warm-up's too."""
        return {stage.stage: stage.steps_for(n_pairs) for stage in self.stages}

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        stages = [asdict(stage) for stage in self.stages]
        return {"locator": self.locator, "weights": self.weights, "stages": stages}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "AlloRecipe":
        """The inverse of `to_json`."""
        return cls(
            locator=content["locator"],
            weights=content["weights"],
            stages=tuple(StageRecipe(**stage) for stage in content["stages"]),
        )


def _names(stages: tuple[StageRecipe, ...]) -> list[str]:
    return [stage.stage for stage in stages]


_WARMUP = StageRecipe(stage="warmup", lr=1e-6, batch_size=32, warmup_ratio=0.1)
_DPO = StageRecipe(stage="dpo", lr=5e-6, batch_size=128, warmup_ratio=0.1)
_FORGET = StageRecipe(stage="forget", lr=5e-7, batch_size=128, warmup_ratio=0.03, share=0.05)
_LEARN = StageRecipe(
    stage="learn", lr=5e-6, batch_size=128, warmup_ratio=0.1, share=0.1, epsilon=0.1
)

PRESETS = {
    "text": AlloRecipe(stages=(_WARMUP, _FORGET, _LEARN, _DPO)),
    "released": AlloRecipe(
        stages=(
            _WARMUP,
            _FORGET,
            replace(_LEARN, share=0.05, count_from="padded"),
            _DPO,
        ),
        locator="allo_released",
        weights="rejected_probabilities",
    ),
}
"""Rates, batches and warm-ups of ALLO's code (2406.12606), for models of billions of entries.

text: exact shares of entries, 5% to forget and 10% to learn (our choice: the paper's two values
are not in its code), epsilon of the answer's own tokens, weights on tokens that a rewriting model
would not keep. released: the code's 5% with its own threshold, epsilon of the padded length, and
as weights the probabilities that a token is kept, which is the opposite. `dpo` stands in both for
comparison: give the stages to run by `only`.
"""
STAGES = ("warmup", "forget", "learn")
"""What an alignment runs unless told otherwise."""
