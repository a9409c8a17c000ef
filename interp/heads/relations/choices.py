"""RelationChoices: the explicit choices that fix one relation score, and the named presets."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from interp.results.errors import BadInput

Operand = Literal["source", "current", "head"]
Input = Literal["residual", "embedding"]
Read = Literal["logit", "prob"]
Candidates = Literal["visible", "typed", "given"]
Gate = Literal["argmax", "dominance", "mass", "none"]
Sink = Literal["ignore", "keep"]
Overlap = Literal["drop", "keep"]
Weight = Literal["sequence", "event"]
Anchor = Literal["first", "last"]

_CLOSED = {
    "operand": Operand,
    "input": Input,
    "read": Read,
    "candidates": Candidates,
    "gate": Gate,
    "sink": Sink,
    "overlap": Overlap,
    "weight": Weight,
    "head_anchor": Anchor,
    "tail_anchor": Anchor,
}


@dataclass(frozen=True, kw_only=True)
class RelationChoices:
    """What is read of a head when it attends to the head entity of a triplet, and when it counts.

    The defaults are the preset `relation`.
    """

    name: str = "relation"
    operand: Operand = "source"
    """Which write: the attended mentions, the current token through OV, or the whole head."""
    input: Input = "residual"
    """What goes through OV: the attention input as the model has it, read with the final norm
    frozen; or W_E of the token, as it is, read by W_U alone."""
    read: Read = "logit"
    """Shares of centred and clipped logits, or of softmax probabilities."""
    candidates: Candidates = "visible"
    """Distinct tokens at or before the query; of entities of the tail's type; or `given`."""
    given: tuple[int, ...] = ()
    """Token ids, for `candidates="given"`."""
    gate: Gate = "argmax"
    """When a head attends to the head entity; `none` weighs every event by its attention."""
    tau: float = 2.2
    """Of `dominance`: the most attended mention over the most attended other key."""
    alpha: float = 0.2
    """Of `mass`: least attention to the mentions together."""
    sink: Sink = "ignore"
    """Whether the first position may win the gate; if not, `least` attention is asked for too."""
    least: float = 0.05
    overlap: Overlap = "drop"
    """Whether the current token may be a mention of the head entity or inside the tail."""
    tail_visible: bool = True
    """Whether the tail must have been mentioned; False only for `typed` or `given` candidates."""
    head_anchor: Anchor = "last"
    tail_anchor: Anchor = "first"
    weight: Weight = "sequence"
    """Mean over events of a triplet, triplets of a sequence, sequences; or over all events."""

    def __post_init__(self) -> None:
        for field, closed in _CLOSED.items():
            value = getattr(self, field)
            if value not in get_args(closed):
                raise BadInput(f"{field}={value!r}: one of {', '.join(get_args(closed))}")
        if self.candidates == "given" and len(self.given) < 2:
            raise BadInput("candidates='given' needs given=, two token ids or more")
        if self.candidates == "visible" and not self.tail_visible:
            raise BadInput("tail_visible=False needs candidates='typed' or 'given'")
        if not (self.tau >= 1 and 0 < self.alpha <= 1 and 0 <= self.least < 1):
            raise BadInput(
                f"tau={self.tau}, alpha={self.alpha}, least={self.least}: expected tau >= 1, "
                f"0 < alpha <= 1 and 0 <= least < 1"
            )

    @property
    def needs_final_scale(self) -> bool:
        """Whether the final norm takes part in what is read."""
        return self.input == "residual"

    def to_json(self) -> dict[str, Any]:
        """As it stands among a finding's settings."""
        return asdict(self) | {"given": list(self.given)}


_LITERAL = RelationChoices(
    name="ren2024",
    operand="current",
    input="embedding",
    read="prob",
    gate="dominance",
    sink="keep",
    overlap="keep",
    weight="event",
)
PRESETS = {
    choices.name: choices
    for choices in (
        RelationChoices(),
        RelationChoices(name="relation_static", input="embedding"),
        _LITERAL,
        replace(_LITERAL, name="ren2024_dev", gate="argmax"),
    )
}
"""`ren2024` is 2402.13055 eq. 1 to 3 as printed, `ren2024_dev` its section on training."""


def choices_of(preset: "str | RelationChoices") -> RelationChoices:
    """A preset by name, or choices as they are; BadInput naming the presets."""
    if isinstance(preset, RelationChoices):
        return preset
    if preset not in PRESETS:
        raise BadInput(f"no preset {preset!r}: one of {', '.join(PRESETS)}")
    return PRESETS[preset]
