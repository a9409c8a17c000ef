"""ALLO as released: `change` in bfloat16, with the threshold that its code takes."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.abilities.locating.locator import Locator
from interp.abilities.locating.locators.change import change

RANKED_IN = torch.bfloat16
"""The released code ranks in this format and then compares float32 values with the threshold."""


def keep_released(scores: list[Float[Tensor, "..."]], share: float) -> list[Bool[Tensor, "..."]]:
    """Whether a score reaches the threshold that ALLO's code (arXiv 2406.12606) takes.

    Each tensor hands in its top ⌊2 · share · numel⌋ scores in bfloat16; the threshold is the value
    of rank ⌊share · n⌋ among them. Two quirks stay: when one tensor owns more than twice the share
    of the top, the threshold is too low and more than the share is kept; and a float32 score is
    compared with a bfloat16 threshold, so entries rounded up to it are lost.
    """
    handed_in = [
        s.flatten().to(RANKED_IN).topk(min(s.numel(), int(s.numel() * 2 * share + 1e-9))).values
        for s in scores
    ]
    n = sum(s.numel() for s in scores)
    pooled = torch.cat(handed_in).sort(descending=True).values
    if not len(pooled):
        return [torch.zeros_like(s, dtype=torch.bool) for s in scores]
    rank = min(int(n * share + 1e-9), len(pooled) - 1)
    threshold = pooled[rank].float()
    return [s >= threshold for s in scores]


LOCATOR = Locator(
    name="allo_released",
    question="how far a short training on the ability moves the entry, cut as ALLO's code cuts",
    source="ALLO, arXiv 2406.12606, released code",
    needs=frozenset({"change"}),
    score=change,
    keep=keep_released,
)
