"""From scores to chosen entries: exactly a share of all, matrices and vectors apart."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor

from interp.abilities.locating.locator import Locator
from interp.abilities.masks.support import BitmapWriter, Support, windows
from interp.abilities.streaming.topk import Scores, count_of_share, scores_of_arrays, top_entries
from interp.abilities.units.unit_choice import UnitChoice

Scope = Literal["global", "tensor"]
Shapes = Mapping[str, tuple[int, ...]]


class Selection(NamedTuple):
    """The chosen entries and how they were told from the rest."""

    supports: dict[str, Support]
    thresholds: dict[str, float]
    """The score at the border of every group that has one; empty under a rule without one."""
    histogram: Int64[np.ndarray, " 65536"] | None
    """All scores, by the upper 16 bits of their float32; None of units, which keep them."""
    units: UnitChoice | None = None
    """What the entries are those of; None at the level of entries."""


def select(
    scores: Scores, shapes: Shapes, *, share: float, scope: Scope, lowest: bool = False
) -> Selection:
    """The entries with the highest (or lowest) scores, ⌊share · n⌋ of the n that are ranked.

    Tensors with one axis (norms, biases) are a group of their own, since their scores have another
    scale; the groups' counts add up to the whole. Under `scope="tensor"` every tensor is a group.
    Ties go to the first by name and position (the last, for the lowest).
    """
    supports: dict[str, Support] = {}
    thresholds: dict[str, float] = {}
    histogram = np.zeros(1 << 16, dtype=np.int64)
    for group, names, count in _groups(shapes, share, scope):
        of_group = {name: shapes[name] for name in names}
        n = sum(int(np.prod(shape, dtype=np.int64)) for shape in of_group.values())
        top = top_entries(of_group, scores, k=n - count if lowest else count)
        chosen = {name: _complement(s) for name, s in top.supports.items()}
        supports.update(chosen if lowest else top.supports)
        histogram += top.histogram
        if count > 0 and not np.isnan(top.threshold):
            thresholds[group] = top.threshold
    return Selection(dict(sorted(supports.items())), thresholds, histogram)


def select_by(
    locator: Locator, scores: Mapping[str, Float[Tensor, "..."]], *, share: float, scope: Scope
) -> Selection:
    """The entries that `locator` chooses from scores that lie in memory."""
    names = sorted(scores)
    arrays = {name: scores[name].detach().float().cpu().contiguous().numpy() for name in names}
    shapes = {name: arrays[name].shape for name in names}
    pieces = scores_of_arrays(arrays)
    if locator.keep is None:
        return select(pieces, shapes, share=share, scope=scope, lowest=locator.lowest)
    kept = locator.keep([scores[name] for name in names], share)
    supports = {n: Support.from_dense(k.cpu().numpy()) for n, k in zip(names, kept, strict=True)}
    nothing = top_entries(shapes, pieces, k=0)
    return Selection(supports, {}, nothing.histogram)


def _groups(shapes: Shapes, share: float, scope: Scope) -> list[tuple[str, list[str], int]]:
    """Name, tensors and count of every group that is ranked by itself."""
    sizes = {name: int(np.prod(shape, dtype=np.int64)) for name, shape in shapes.items()}
    if scope == "tensor":
        return [(name, [name], count_of_share(size, share)) for name, size in sizes.items()]
    vectors = [name for name, shape in shapes.items() if len(shape) < 2]
    matrices = [name for name in shapes if name not in set(vectors)]
    in_matrices = count_of_share(sum(sizes[name] for name in matrices), share)
    in_all = count_of_share(sum(sizes.values()), share)
    groups = [("matrices", matrices, in_matrices), ("vectors", vectors, in_all - in_matrices)]
    return [group for group in groups if group[1]]


def _complement(support: Support) -> Support:
    bitmap = BitmapWriter(support.n_entries)
    for start, stop in windows(support.n_entries):
        bitmap.append(~support.window(start, stop))
    return Support.from_bitmap(bitmap.bits, support.shape)
