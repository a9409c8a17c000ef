"""Protocol: how items are put to a model and what counts as right; saved with every result."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from interp.evaluation.normaliser import Normaliser
from interp.results.errors import BadInput, CorruptFile

AnswerRule = Literal["greedy", "choice", "choice_per_byte", "generate"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One way to ask. `normaliser`, `max_new_tokens` and `stop` count under `generate` alone."""

    rule: AnswerRule = "greedy"
    """`greedy`: every token of the answer is the likeliest after those before it. `choice`: of the
    item's choices the answer has the highest summed log-probability; `choice_per_byte`: the highest
    sum over its UTF-8 bytes. `generate`: what the model says, normalised, is the answer."""
    normaliser: Normaliser = field(default_factory=Normaliser)
    max_new_tokens: int = 64
    """An answer that has not ended by then counts as wrong."""
    stop: tuple[str, ...] = ()
    """Texts before which what is said ends, besides the model's own end of text."""

    def __post_init__(self) -> None:
        if self.rule not in get_args(AnswerRule):
            raise BadInput(f"rule {self.rule!r}: give one of {', '.join(get_args(AnswerRule))}")

    @property
    def is_choice(self) -> bool:
        """Whether the items' choices are what is scored."""
        return self.rule in ("choice", "choice_per_byte")

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "rule": self.rule,
            "normaliser": self.normaliser.to_json(),
            "max_new_tokens": self.max_new_tokens,
            "stop": list(self.stop),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Protocol":
        """The inverse of `to_json`. Raises CorruptFile where a field is missing."""
        try:
            return cls(
                rule=content["rule"],
                normaliser=Normaliser.from_json(content["normaliser"]),
                max_new_tokens=content["max_new_tokens"],
                stop=tuple(content["stop"]),
            )
        except (KeyError, TypeError, BadInput) as error:
            raise CorruptFile(f"{content!r} does not say how items were asked ({error})") from error
