"""Permutation: what the score would be if any of a triplet's labels were its true tail.

A draw picks for each triplet one of its labels, the true tail among them, for all heads and all
relations of that pair at once: dependence between heads is kept, and p is exact if the true tail is
exchangeable with its controls. p_adj compares each head with the largest z of all heads and
relations of a draw (Westfall and Young 1993). The null's mean and deviation are sums over triplets
and need no draws.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

_AT_ONCE = 1 << 23
_SLACK = 1e-4
"""In z: sums in float32 that are equal must count as equal."""


class LabelSums(NamedTuple):
    """The triplets of one relation, weighted so that a draw's score is a sum over triplets."""

    values: Float[np.ndarray, "triplets heads labels"]
    """Zero for heads that are not tested, and for labels that a triplet does not have."""
    n_labels: Int[np.ndarray, " triplets"]
    pair: Int[np.ndarray, " triplets"]
    """Triplets with the same number draw together."""
    tested: Bool[np.ndarray, " heads"]


class Permuted(NamedTuple):
    """The null of one relation; NaN for heads that are not tested."""

    score: Float[np.ndarray, " heads"]
    null_mean: Float[np.ndarray, " heads"]
    null_sd: Float[np.ndarray, " heads"]
    z: Float[np.ndarray, " heads"]
    p: Float[np.ndarray, " heads"]
    p_adj: Float[np.ndarray, " heads"]


class _Standardised(NamedTuple):
    """Tested heads of a relation: a draw's z is the sum of one label's value for each triplet."""

    score: Float[np.ndarray, " heads"]
    mean: Float[np.ndarray, " heads"]
    sd: Float[np.ndarray, " heads"]
    by_label: tuple[Float[np.ndarray, "triplets heads"], ...]
    n_labels: Int[np.ndarray, " triplets"]
    pair: Int[np.ndarray, " triplets"]


def permuted(
    relations: Sequence[LabelSums], *, rng: np.random.Generator, draws: int
) -> list[Permuted]:
    """Score, null and p of every relation's heads, with p = (1 + draws as high) / (1 + draws).

    A head to which all labels are alike has z = 0 and p = 1.
    """
    parts = [_standardised(of) for of in relations]
    observed = [part.by_label[0].sum(axis=0) for part in parts]
    above = [np.zeros(len(z)) for z in observed]
    largest = np.empty(draws)
    n_pairs = 1 + max((int(of.pair.max()) for of in relations if len(of.pair)), default=-1)
    widest = max((len(z) for z in observed), default=1)
    block = max(1, _AT_ONCE // max(1, n_pairs, widest))
    for start in range(0, draws, block):
        uniform = rng.random((min(block, draws - start), n_pairs), dtype=np.float32)
        top = np.full(len(uniform), -np.inf)
        for i, part in enumerate(parts):
            if len(observed[i]):
                z = _drawn(part, uniform)
                above[i] += (z >= observed[i] - _SLACK).sum(axis=0)
                np.maximum(top, z.max(axis=1), out=top)
        largest[start : start + len(top)] = top
    largest.sort()
    return [
        _placed(of.tested, part, z, n, largest)
        for of, part, z, n in zip(relations, parts, observed, above, strict=True)
    ]


def _standardised(of: LabelSums) -> _Standardised:
    values = of.values[:, of.tested].astype(np.float64)
    there = (np.arange(values.shape[2]) < of.n_labels[:, None])[:, None]
    n = of.n_labels[:, None].astype(float)
    mean = (values * there).sum(axis=2) / n
    centred = (values - mean[..., None]) * there
    sd = np.sqrt(((centred**2).sum(axis=2) / n).sum(axis=0))
    varied = sd > 1e-12
    scaled = np.where(varied[:, None], centred / np.where(varied, sd, 1.0)[:, None], 0.0)
    return _Standardised(
        score=values[..., 0].sum(axis=0),
        mean=mean.sum(axis=0),
        sd=sd,
        by_label=tuple(
            np.ascontiguousarray(scaled[..., i], np.float32) for i in range(values.shape[2])
        ),
        n_labels=of.n_labels.astype(np.int8),
        pair=of.pair,
    )


def _drawn(
    part: _Standardised, uniform: Float[np.ndarray, "draws pairs"]
) -> Float[np.ndarray, "draws heads"]:
    label = (uniform[:, part.pair] * part.n_labels).astype(np.int8)
    # A float32 just below 1 can round up to the number of labels.
    np.minimum(label, part.n_labels - 1, out=label)
    total = np.zeros((len(uniform), len(part.sd)), np.float32)
    for one in range(int(part.n_labels.max(initial=0))):
        has = part.n_labels > one
        total += (label[:, has] == one).astype(np.float32) @ part.by_label[one][has]
    return total


def _placed(
    tested: Bool[np.ndarray, " heads"],
    part: _Standardised,
    z: Float[np.ndarray, " tested"],
    above: Float[np.ndarray, " tested"],
    largest: Float[np.ndarray, " draws"],
) -> Permuted:
    n = len(largest)
    beaten = np.searchsorted(largest, z - _SLACK, side="left")
    found = (part.score, part.mean, part.sd, z, (1 + above) / (1 + n), (1 + n - beaten) / (1 + n))
    full = np.full((len(found), len(tested)), np.nan)
    full[:, tested] = np.stack(found)
    return Permuted(*full)
