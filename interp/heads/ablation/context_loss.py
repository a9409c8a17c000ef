"""In-context loss reduction: how much better late tokens of a text are predicted than early ones.

A measure for `ablate_heads(measures=...)`: one number for every sequence, under any intervention.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from transformer_lens.model_bridge import TransformerBridge

from interp.results.errors import BadInput

Measure = Callable[[TransformerBridge], Float[np.ndarray, " items"]]
"""One number for every item (a sequence, a prompt), always the same items in the same order."""


def loss_reduction(
    tokens: Int[np.ndarray, "sequences pos"],
    *,
    early: tuple[int, int] = (0, 50),
    late: tuple[int, int] = (50, 100),
    batch_size: int = 16,
) -> Measure:
    """For every sequence, mean loss of its late tokens less that of its early ones, in nats.

    arXiv 2402.13055 section 4.1 (2209.11895 takes single tokens, 500 and 50): below 0 the model
    makes use of what it has read. Token 0 is never predicted, so it is in neither mean. BadInput
    for windows that do not lie in the sequences.
    """
    for first, last in (early, late):
        if not (first >= 0 and max(first, 1) < last <= tokens.shape[1]):
            raise BadInput(
                f"tokens {first} to {last} of sequences of {tokens.shape[1]}: choose windows "
                "inside them, of a token or more beside the first"
            )

    @torch.no_grad()
    def measure(bridge: TransformerBridge) -> Float[np.ndarray, " items"]:
        device = next(bridge.original_model.parameters()).device
        found = []
        for start in range(0, len(tokens), batch_size):
            text = torch.from_numpy(tokens[start : start + batch_size]).to(device)
            logits = bridge(text)[:, :-1].float()
            own = logits.gather(2, text[:, 1:, None])[..., 0]
            # Column t - 1 predicts token t.
            loss = torch.logsumexp(logits, dim=2) - own
            ends = [loss[:, max(a - 1, 0) : b - 1].mean(1) for a, b in (early, late)]
            found.append((ends[1] - ends[0]).double().cpu().numpy())
        return np.concatenate(found)

    return measure
