"""Permutation: what the score would be if any of a triplet's labels were its true tail.

A draw gives every triplet one of its labels, the true tail among them, for all heads and relations
at once: dependence between heads is kept, and p is exact if the true tail is exchangeable with its
controls. Triplets with the same true tail draw alike: a draw ranks the possible tails of each true
tail, and every triplet takes the first it has. A fact told in a hundred sequences is then one fact,
and a taste for some words cannot pass for a relation because it shows in all of them. p_adj
compares each head with the largest z of all heads and relations of a draw (Westfall and Young,
1993).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

_AT_ONCE = 1 << 22
_SLACK = 1e-4
"""In z: sums in float32 that are equal must count as equal."""


class LabelSums(NamedTuple):
    """The triplets of one relation, weighted so that a draw's score is a sum over triplets."""

    values: Float[np.ndarray, "triplets heads labels"]
    tokens: Int[np.ndarray, "triplets labels"]
    """The token of the true tail, of each control tail, then -1; all of one triplet differ."""
    tested: Bool[np.ndarray, " heads"]


class Permuted(NamedTuple):
    """The null of one relation; NaN for heads that are not tested."""

    score: Float[np.ndarray, " heads"]
    null_mean: Float[np.ndarray, " heads"]
    null_sd: Float[np.ndarray, " heads"]
    z: Float[np.ndarray, " heads"]
    p: Float[np.ndarray, " heads"]
    p_adj: Float[np.ndarray, " heads"]


def permuted(
    relations: Sequence[LabelSums], *, rng: np.random.Generator, draws: int
) -> list[Permuted]:
    """Score, null and p of every relation's heads, with p = (1 + draws as high) / (1 + draws).

    A head to which all labels are alike has z = 0 and p = 1. Holds draws x tested heads in float32.
    """
    centred, means = zip(*(_centred(of) for of in relations), strict=True)
    seen = [values[..., 0].sum(axis=0) for values in centred]
    drawn = [np.empty((draws, len(s)), np.float32) for s in seen]
    ends = np.cumsum([len(of.tokens) for of in relations])
    by_label = [
        [np.ascontiguousarray(values[..., i], np.float32) for i in range(values.shape[2])]
        for values in centred
    ]
    tokens = np.concatenate([of.tokens for of in relations])
    for start, labels in drawn_labels(tokens, rng=rng, draws=draws):
        for i, part in enumerate(np.split(labels, ends[:-1], axis=1)):
            if drawn[i].shape[1]:
                drawn[i][start : start + len(part)] = _summed(by_label[i], part)
    spread = [
        np.sqrt((np.square(d, dtype=np.float64).sum(axis=0) + s**2) / (draws + 1))
        for d, s in zip(drawn, seen, strict=True)
    ]
    z = [s / _or_infinite(sd) for s, sd in zip(seen, spread, strict=True)]
    for d, sd in zip(drawn, spread, strict=True):
        d /= _or_infinite(sd).astype(np.float32)
    largest = np.sort(np.max([d.max(axis=1, initial=-np.inf) for d in drawn], axis=0))
    return [
        _placed(of, mean, (d, sd), one, largest)
        for of, mean, d, sd, one in zip(relations, means, drawn, spread, z, strict=True)
    ]


def drawn_labels(
    tokens: Int[np.ndarray, "triplets labels"], *, rng: np.random.Generator, draws: int
) -> Iterator[tuple[int, Int8[np.ndarray, "block triplets"]]]:
    """Blocks of draws: the label of every triplet of all relations, after the first draw's number.

    Each label of a triplet is as likely as the others.
    """
    there = tokens >= 0
    n_tokens = int(tokens.max(initial=0)) + 1
    ids, place = np.unique(
        np.where(there, tokens[:, :1] * n_tokens + tokens, -1), return_inverse=True
    )
    place = place.reshape(tokens.shape)
    block = max(1, _AT_ONCE // max(1, tokens.size))
    for start in range(0, draws, block):
        rank = rng.random((min(block, draws - start), len(ids)), dtype=np.float32)
        best = rank[:, place[:, 0]]
        label = np.zeros(best.shape, np.int8)
        for i in range(1, tokens.shape[1]):
            has = np.flatnonzero(there[:, i])
            own = rank[:, place[has, i]]
            better = own > best[:, has]
            label[:, has] = np.where(better, np.int8(i), label[:, has])
            best[:, has] = np.where(better, own, best[:, has])
        yield start, label


def _centred(
    of: LabelSums,
) -> tuple[Float[np.ndarray, "triplets tested labels"], Float[np.ndarray, " tested"]]:
    """Tested heads' values less the mean over a triplet's labels, and the sum of these means."""
    values = of.values[:, of.tested].astype(np.float64)
    there = (of.tokens >= 0)[:, None]
    mean = (values * there).sum(axis=2) / there.sum(axis=2)
    return (values - mean[..., None]) * there, mean.sum(axis=0)


def _summed(
    by_label: Sequence[Float[np.ndarray, "triplets heads"]],
    label: Int8[np.ndarray, "block triplets"],
) -> Float[np.ndarray, "block heads"]:
    total = np.zeros((len(label), by_label[0].shape[1]), np.float32)
    for one in range(int(label.max(initial=0)) + 1):
        total += (label == one).astype(np.float32) @ by_label[one]
    return total


def _or_infinite(sd: Float[np.ndarray, " heads"]) -> Float[np.ndarray, " heads"]:
    return np.where(sd > 1e-9, sd, np.inf)


def _placed(
    of: LabelSums,
    mean: Float[np.ndarray, " tested"],
    null: tuple[Float[np.ndarray, "draws tested"], Float[np.ndarray, " tested"]],
    z: Float[np.ndarray, " tested"],
    largest: Float[np.ndarray, " draws"],
) -> Permuted:
    drawn, sd = null
    n = len(largest)
    above = (drawn >= (z - _SLACK).astype(np.float32)).sum(axis=0)
    beaten = np.searchsorted(largest, z - _SLACK, side="left")
    score = of.values[:, of.tested, 0].sum(axis=0)
    found = (score, mean, sd, z, (1 + above) / (1 + n), (1 + n - beaten) / (1 + n))
    full = np.full((len(found), len(of.tested)), np.nan)
    full[:, of.tested] = np.stack(found)
    return Permuted(*full)
