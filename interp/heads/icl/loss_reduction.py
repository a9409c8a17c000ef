"""Loss reduction: how much better late tokens of a text are predicted than early ones.

arXiv 2402.13055 section 4.1: mean loss over tokens j to i + j less that over tokens 0 to i, with
(i, j) = (50, 50) and (50, 450); more negative is more in-context learning. Both are scaled down to
a shorter context, and what was used is stored.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int
from torch import nn

from interp.corpus.corpus import Corpus
from interp.results.errors import BadInput

PAPER_WINDOWS = ((50, 50), (50, 450))
_PAPER_LENGTH = 500
_TOKENS_AT_ONCE = 16_384
Window = tuple[int, int]
"""(i, j): how many tokens are compared, and where the late ones begin."""


def scaled_windows(n_predicted: int) -> tuple[Window, ...]:
    """The paper's windows where `n_predicted` tokens are at least 500, else in proportion."""
    scale = min(1.0, n_predicted / _PAPER_LENGTH)
    scaled = [(max(1, int(i * scale)), max(1, int(j * scale))) for i, j in PAPER_WINDOWS]
    return tuple(dict.fromkeys(window for window in scaled if sum(window) <= n_predicted))


def whole_sequences(corpus: Corpus, n: int) -> Int[np.ndarray, "sequences pos"]:
    """The first `n` sequences that fill the corpus's length; BadInput if fewer than two do.

    Documents shorter than that cannot tell late from early tokens and are passed over.
    """
    found: list[np.ndarray] = []
    for batch in corpus.batches(256):
        full = batch.attention_mask.all(axis=1)
        found.extend(batch.tokens[full])
        if len(found) >= n:
            break
    if len(found) < 2:
        raise BadInput(
            f"{corpus.name} has {len(found)} documents of {corpus.length} tokens, and the loss at "
            "late tokens takes at least 2: give longer text, or a smaller --length"
        )
    return np.stack(found[:n]).astype(np.int64)


def window_losses(
    model: nn.Module, tokens: Int[np.ndarray, "sequences pos"], windows: tuple[Window, ...]
) -> Float64[np.ndarray, "windows 3 sequences"]:
    """Mean loss in nats of the early tokens, of the late, and of the late after a foreign text.

    The third is the null: the same late tokens at the same places, but what stands before them is
    the next sequence's. A reduction that is there too is no learning from the context.
    """
    own = _losses(model, tokens)
    found = []
    for i, j in windows:
        foreign = np.roll(tokens, -1, axis=0)
        # Token 0 predicts token 1: the late losses are of the tokens from j + 1 on.
        foreign[:, j + 1 :] = tokens[:, j + 1 :]
        late = slice(j, i + j)
        found.append(
            [each.mean(axis=1) for each in (own[:, :i], own[:, late],
                                            _losses(model, foreign)[:, late])]
        )  # fmt: skip
    return np.array(found).reshape(len(windows), 3, len(tokens))


@torch.no_grad()
def _losses(
    model: nn.Module, tokens: Int[np.ndarray, "sequences pos"]
) -> Float64[np.ndarray, "sequences predicted"]:
    asked: Any = model
    device = next(model.parameters()).device
    at_once = max(1, _TOKENS_AT_ONCE // tokens.shape[1])
    found = []
    for start in range(0, len(tokens), at_once):
        rows = torch.from_numpy(tokens[start : start + at_once]).to(device)
        log_p = asked(input_ids=rows, use_cache=False).logits[:, :-1].float().log_softmax(-1)
        found.append(-log_p.gather(-1, rows[:, 1:, None])[..., 0].double().cpu().numpy())
    return np.concatenate(found)
