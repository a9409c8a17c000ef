"""ALLO as released: `change` in bfloat16, with the threshold that its code takes."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from interp.abilities.locating.locator import Locator
from interp.abilities.locating.locators.change import change
from interp.abilities.masks.support import BitmapWriter, Support
from interp.abilities.streaming.topk import Scores

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


def kept_in_pieces(
    scores: Scores, shapes: Mapping[str, tuple[int, ...]], share: float
) -> dict[str, Support]:
    """What `keep_released` keeps of scores that come in pieces; memory is a bit an entry.

    A bfloat16 of at least 0 is one of 2^15 bit patterns in the order of the numbers, so a count of
    each is all that the rule ranks.
    """
    pooled = np.zeros(1 << 15, dtype=np.int64)
    for name, shape in shapes.items():
        counts = np.zeros_like(pooled)
        for piece in scores(name):
            rounded = torch.from_numpy(np.ascontiguousarray(piece)).to(RANKED_IN)
            counts += np.bincount(rounded.view(torch.int16).numpy(), minlength=pooled.size)
        numel = math.prod(shape)
        above = counts[::-1].cumsum()[::-1] - counts
        handed_in = min(numel, int(numel * 2 * share + 1e-9))
        pooled += np.clip(handed_in - above, 0, counts)
    threshold = _released_threshold(pooled, sum(map(math.prod, shapes.values())), share)
    supports = {}
    for name, shape in shapes.items():
        bitmap = BitmapWriter(math.prod(shape))
        for piece in scores(name):
            bitmap.append(piece >= threshold)
        supports[name] = Support.from_bitmap(bitmap.bits, tuple(shape))
    return supports


def _released_threshold(pooled: Int64[np.ndarray, " 32768"], n: int, share: float) -> np.float32:
    """The value of rank ⌊share · n⌋ among counts by the bits of a bfloat16; infinity if none."""
    total = int(pooled.sum())
    if not total:
        return np.float32(np.inf)
    rank = min(int(n * share + 1e-9), total - 1)
    at_least = pooled[::-1].cumsum()[::-1]
    bits = int(np.flatnonzero(at_least > rank)[-1])
    return np.uint32(bits << 16).view(np.float32)


LOCATOR = Locator(
    name="allo_released",
    question="how far a short training on the ability moves the entry, cut as ALLO's code cuts",
    source="ALLO, arXiv 2406.12606, released code",
    needs=frozenset({"change"}),
    score=change,
    keep=keep_released,
)
