"""What the MLPs of some layers read and fire at the tokens that an answer is predicted from."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.forward import SiteReader
from interp.corpus.corpus import Corpus
from interp.modules.perturbation.items import FunctionItem
from interp.modules.perturbation.measuring import ItemBatch
from interp.modules.routing.moefied import mlp_input
from interp.results.errors import BadInput


class LayerRows(NamedTuple):
    """Input and activations of one MLP, a row a token."""

    x: Float[Tensor, "rows d_model"]
    h: Float[Tensor, "rows neurons"]


class TokenRows(NamedTuple):
    """Rows of several MLPs at the same tokens."""

    item: Int[np.ndarray, " rows"]
    """The item that each token belongs to."""
    at: dict[str, LayerRows]
    """By the site of the neurons."""


def read_rows(
    bridge: TransformerBridge, batches: Iterable[ItemBatch], sites: Sequence[str], *, max_rows: int
) -> TokenRows:
    """Rows at tokens from which a counted token is predicted, of whole batches up to `max_rows`.

    Raises BadInput where there is none.
    """
    inputs = {site: mlp_input(bridge, site) for site in sites}
    reader = SiteReader(bridge, [*inputs.values(), *sites])
    kept: dict[str, list[np.ndarray]] = {name: [] for name in reader.sites}
    item: list[np.ndarray] = []
    for batch in batches:
        keep = predicting(batch)
        found = reader.read(batch.tokens.numpy(), np.ones_like(keep), keep)
        for name, rows in found.items():
            kept[name].append(rows.reshape(len(rows), -1))
        item.append(np.broadcast_to(batch.item[:, None], keep.shape)[keep])
        if sum(map(len, item)) >= max_rows:
            break
    if not sum(map(len, item)):
        raise BadInput("no token of the data is predicted: there is nothing to route")
    joined = {name: torch.from_numpy(np.concatenate(parts)) for name, parts in kept.items()}
    at = {site: LayerRows(joined[inputs[site]], joined[site]) for site in sites}
    return TokenRows(np.concatenate(item), at)


def mixed(batches: Sequence[ItemBatch], *, seed: int) -> list[ItemBatch]:
    """The batches in a drawn order, one of every function before a second of any.

    Batches come function by function: the first rows of them would be of the first functions only.
    """
    order = np.random.default_rng(seed).permutation(len(batches))
    drawn = [batches[i] for i in order]
    first = {batch.function: i for i, batch in reversed(list(enumerate(drawn)))}
    places = sorted(range(len(drawn)), key=lambda i: first[drawn[i].function] != i)
    return [drawn[i] for i in places]


def predicting(batch: ItemBatch) -> Bool[np.ndarray, "batch pos"]:
    """Tokens whose next token counts."""
    keep = np.zeros(tuple(batch.tokens.shape), bool)
    keep[:, :-1] = batch.predicted.numpy()
    return keep


def text_items(corpus: Corpus, *, max_tokens: int) -> list[FunctionItem]:
    """Sequences of a text as items without an answer: every token is predicted, and loss counts.

    The first half is for learning, the second for measuring; sequences of one token are left out.
    """
    found: list[tuple[int, ...]] = []
    n = 0
    for batch in corpus.batches(16):
        for tokens, mask in zip(batch.tokens, batch.attention_mask, strict=True):
            if mask.sum() > 1 and n < max_tokens:
                found.append(tuple(tokens[mask].tolist()))
                n += len(found[-1])
        if n >= max_tokens:
            break
    seen = dict.fromkeys(found)
    return [
        FunctionItem(
            id=f"{corpus.name}-{number}",
            function="text",
            split="validation" if number < len(seen) // 2 else "test",
            tokens=tokens,
            answer_start=1,
            answer_end=len(tokens),
            has_answer=False,
        )
        for number, tokens in enumerate(seen)
    ]
