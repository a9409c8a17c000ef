"""Answers: what one model said to every item, and whether it was right."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True, kw_only=True)
class Answers:
    """One model's answers, in the order of the items."""

    correct: Bool[np.ndarray, " items"]
    said: tuple[str, ...]
    """Under `generate` the whole text; under the choice rules the choice taken; under `greedy` as
    far as one pass tells: up to the first token that is not the answer's, that one included."""
    truncated: Bool[np.ndarray, " items"]
    """Under `generate`, whether the text had not ended by itself: then it is wrong. Else False."""
    margin: Float[np.ndarray, " items"]
    """Summed log-probability of the answer less that of the best other choice, in nats; NaN unless
    choices were scored. Right under `choice` where above 0."""
    margin_per_byte: Float[np.ndarray, " items"]
    """The same with every sum divided by the choice's UTF-8 bytes first."""

    def __post_init__(self) -> None:
        if not len(self.said) == len(self.correct):
            raise ValueError(f"{len(self.said)} texts for {len(self.correct)} items")
