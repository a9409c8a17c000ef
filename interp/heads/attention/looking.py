"""What some heads attend to on one text: tokens as text, and their patterns."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention.batch import HeadBatch
from interp.heads.attention.geometry import HeadGeometry
from interp.heads.attention.reading import LayerView, read_layers
from interp.heads.columns import Head
from interp.models.examples import encode_prompts
from interp.results.errors import BadInput


class Looked(NamedTuple):
    """A text as the model reads it, and the attention of some heads on it."""

    tokens: list[str]
    pattern: Float[np.ndarray, "n_shown query key"]


class _Kept:
    def __init__(self, heads: Sequence[Head]) -> None:
        self.needs: frozenset[str] | set[str] = frozenset({"pattern"})
        self.heads = heads
        self.found: dict[Head, Float[np.ndarray, "query key"]] = {}

    def see(self, view: LayerView) -> None:
        for head in self.heads:
            if head.layer == view.layer:
                self.found[head] = view.pattern[0, head.head].float().cpu().numpy()

    def end_batch(self, batch: HeadBatch, *, final_scale: torch.Tensor | None) -> None:
        del batch, final_scale


def patterns_on(bridge: TransformerBridge, text: str, heads: Sequence[Head]) -> Looked:
    """Attention of `heads` on `text`, in the order given, the tokens decoded one by one.

    Raises BadInput for a head that is not there, a text without a token or beyond the context, and
    a model without a tokenizer.
    """
    geometry, tokenizer = HeadGeometry.of(bridge), bridge.tokenizer
    if tokenizer is None:
        raise BadInput(f"{geometry.name} has no tokenizer: give a model that reads text")
    wrong = [
        h for h in heads if not (0 <= h[0] < geometry.n_layers and 0 <= h[1] < geometry.n_heads)
    ]
    if wrong or not heads:
        last = Head(geometry.n_layers - 1, geometry.n_heads - 1)
        named = ", ".join(f"L{layer}H{head}" for layer, head in wrong) or "at all"
        raise BadInput(f"no head {named}: this model has L0H0 to {last}")
    (ids,) = encode_prompts([text], tokenizer)
    if not ids:
        raise BadInput(f"the text {text[:40]!r} has no token")
    kept = _Kept([Head(*head) for head in heads])
    tokens = np.array([ids])
    everywhere = np.ones_like(tokens, dtype=bool)
    batch = HeadBatch(
        tokens=tokens, attention_mask=everywhere, is_query=everywhere, sequence=np.zeros(1, int)
    )
    read_layers(bridge, [batch], [kept], geometry=geometry)
    words = [str(tokenizer.decode([number])) for number in ids]
    return Looked(words, np.stack([kept.found[head] for head in kept.heads]))
