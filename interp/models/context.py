"""How many tokens a model takes at once, and the refusal of more."""

from pathlib import Path

from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoConfig

from interp.results.errors import BadInput


def context_of(model: TransformerBridge | Path) -> int | None:
    """Positions of a model, or of the files in a directory; None where its config sets no limit."""
    config = (
        AutoConfig.from_pretrained(model)
        if isinstance(model, Path)
        else model.original_model.config
    )
    return getattr(config, "max_position_embeddings", None)


def length_within(
    model: TransformerBridge | Path, length: int | None, *, default: int = 128
) -> int:
    """`length` where it was given, else `default` or the model's context if that is shorter."""
    return length if length is not None else min(default, context_of(model) or default)


def refuse_beyond_context(model: TransformerBridge | Path, length: int) -> None:
    """BadInput for sequences that are longer than the model's context."""
    context = context_of(model)
    if context is not None and length > context:
        raise BadInput(
            f"sequences of {length} tokens do not fit the model's context of {context}: "
            f"open the corpus with a length (--length) of at most {context}"
        )


def refuse_long_items(model: TransformerBridge, lengths: dict[str, int]) -> None:
    """BadInput naming the longest of some items, by id, if it is longer than the context."""
    context = context_of(model)
    longest = max(lengths, key=lambda name: lengths[name], default=None)
    if context is not None and longest is not None and lengths[longest] > context:
        too_long = sum(length > context for length in lengths.values())
        raise BadInput(
            f"item {longest!r} has {lengths[longest]} tokens and the model's context is {context}: "
            f"shorten or leave out the {too_long} that do not fit"
        )
