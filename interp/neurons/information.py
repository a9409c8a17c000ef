"""How much a unit's activation says about a label, in bits, and how far it parts the two classes.

Neither asks for a direction or a threshold: information also finds a unit that fires in the middle
of its range on the label.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, Int8
from torch import Tensor

from interp.neurons.average_precision import UNITS_AT_ONCE
from interp.neurons.ranking import Ranking, over_blocks
from interp.neurons.relabelling import shuffled_labels
from interp.neurons.rows_of_functions import checked_labels

N_BINS = 8


class MutualInformation(NamedTuple):
    """Information between every unit's activation, in bins of rank, and every label."""

    bits: Float64[np.ndarray, "functions units"]
    """With Miller and Madow's correction; around 0, on either side, where there is none."""
    null: Float64[np.ndarray, "functions units"]
    """Mean over shuffled labels."""
    p: Float64[np.ndarray, "functions units"]
    """(1 + shuffles with as much) / (1 + shuffles), of each unit by itself; not corrected."""
    entropy: Float64[np.ndarray, " functions"]
    """Bits of the label itself, the most that a unit can say."""
    n: tuple[int, ...]
    """Rows of every function."""


class Selectivity(NamedTuple):
    """How far a unit's mean activations with and without the label lie apart."""

    index: Float64[np.ndarray, "functions units"]
    """(m1 - m0)/(m1 + m0) of the two means (1803.06959): -1 to 1, NaN for a unit that is ever
    negative or always 0."""
    d_prime: Float64[np.ndarray, "functions units"]
    """(m1 - m0) in standard deviations within the classes; NaN where there is no such spread."""
    null: Float64[np.ndarray, "functions units"]
    """Mean |m1 - m0| of shuffled labels in the same unit."""
    p: Float64[np.ndarray, "functions units"]
    """Two-sided, of |m1 - m0| against shuffled labels, of each unit by itself; not corrected."""
    n: tuple[int, ...]
    """Rows of every function."""


def mutual_information(
    scores: Float[Tensor, "rows units"],
    labels: Int8[Tensor, "functions rows"] | Bool[Tensor, "functions rows"],
    *,
    n_bins: int = N_BINS,
    draws: int = 100,
    seed: int = 0,
) -> MutualInformation:
    """Σ p(bin, label) log2 p(bin, label)/(p(bin) p(label)), bias-corrected, beside its null.

    Bins hold about as many rows of the function each; rows with equal scores share one (the zeros
    of a ReLU are one bin). The correction takes (cells - bins - labels + 1)/(2 n ln 2) bits off,
    counting what is occupied (Miller 1955). -1 is no part of the function.
    """
    found = []
    for function, row in enumerate(checked_labels(labels)):
        inside, drawn = _drawn(row, draws, np.random.default_rng([seed, function]))
        drawn = drawn.astype(np.float64)
        parts = over_blocks(
            scores[inside],
            lambda _, ranking, drawn=drawn: bits_of(bins_of(ranking, n_bins), n_bins, drawn),
            units_at_once=UNITS_AT_ONCE,
        )
        bits = np.concatenate(parts, axis=1)
        share = drawn[0].mean()
        entropy = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
        found.append((bits[0], bits[1:].mean(axis=0), _p(bits), entropy, drawn.shape[1]))
    bits, null, p, entropy, n = zip(*found, strict=True)
    return MutualInformation(np.stack(bits), np.stack(null), np.stack(p), np.array(entropy), n)


def selectivity(
    scores: Float[Tensor, "rows units"],
    labels: Int8[Tensor, "functions rows"] | Bool[Tensor, "functions rows"],
    *,
    draws: int = 100,
    seed: int = 0,
) -> Selectivity:
    """Differences of class means of every unit for every function, beside their null."""
    found = []
    for function, row in enumerate(checked_labels(labels)):
        inside, drawn = _drawn(row, draws, np.random.default_rng([seed, function]))
        found.append((*_class_means(scores[inside].double(), drawn), drawn.shape[1]))
    index, d_prime, null, p, n = zip(*found, strict=True)
    return Selectivity(np.stack(index), np.stack(d_prime), np.stack(null), np.stack(p), n)


def _drawn(
    row: Int8[np.ndarray, " rows"], draws: int, rng: np.random.Generator
) -> tuple[Bool[Tensor, " rows"], Int8[np.ndarray, "all inside"]]:
    """The function's rows; its labels on them, first as they are and then shuffled."""
    inside = row[row >= 0]
    shuffles = shuffled_labels(inside, draws, rng)
    return torch.from_numpy(row >= 0), np.concatenate([inside[None], shuffles])


def _p(values: Float64[np.ndarray, "all units"]) -> Float64[np.ndarray, " units"]:
    """The share of all draws, the first one seen, that reach it; equal sums may round apart."""
    return (values >= values[0] - 1e-12).mean(axis=0)


def bins_of(ranking: Ranking, n_bins: int) -> Int[np.ndarray, "units rows"]:
    """The bin of every row by the middle rank of its group."""
    middle = ranking.depth - ranking.size / 2
    of_group = (middle * n_bins / ranking.n_rows).astype(np.int64)
    found = np.empty_like(ranking.order)
    in_order = np.repeat(of_group, ranking.size.astype(np.int64)).reshape(found.shape)
    np.put_along_axis(found, ranking.order, in_order, axis=1)
    return found


def bits_of(
    bins: Int[np.ndarray, "units rows"], n_bins: int, drawn: Float64[np.ndarray, "all rows"]
) -> Float64[np.ndarray, "all units"]:
    """Corrected bits between every unit's bins and every line of labels, which are 0 or 1."""
    n, n_positive = drawn.shape[1], drawn.sum(axis=1)[:, None]
    in_bin = np.stack([bins == index for index in range(n_bins)]).astype(np.float64)
    positive = np.einsum("kur,ar->kau", in_bin, drawn, optimize=True)
    total = in_bin.sum(axis=2)[:, None, :]
    bits, cells = np.zeros(positive.shape[1:]), np.zeros(positive.shape[1:])
    for count, of_label in ((positive, n_positive), (total - positive, n - n_positive)):
        with np.errstate(divide="ignore", invalid="ignore"):
            each = count * np.log2(count * n / (total * of_label))
        bits += np.where(count > 0, each, 0.0).sum(axis=0) / n
        cells += (count > 0).sum(axis=0)
    excess = cells - (total > 0).sum(axis=0) - 2 + 1
    return bits - excess / (2 * n * np.log(2))


def _class_means(
    scores: Float64[Tensor, "rows units"], drawn: Int8[np.ndarray, "all rows"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    n, n_positive = drawn.shape[1], int(drawn[0].sum())
    sums = (torch.from_numpy(drawn).double() @ scores).numpy()
    all_rows = scores.sum(dim=0).numpy()
    with_label, without = sums / n_positive, (all_rows - sums) / (n - n_positive)
    apart = np.abs(with_label - without)
    label = torch.from_numpy(drawn[0] == 1)
    deviations = [(part - part.mean(0)).square().sum(0) for part in (scores[label], scores[~label])]
    within = ((deviations[0] + deviations[1]) / max(n - 2, 1)).sqrt().numpy()
    up, down = with_label[0], without[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        d_prime = np.where(within > 0, (up - down) / within, np.nan)
        index = np.where((scores >= 0).all(dim=0).numpy() & (up + down > 0), (up - down), np.nan)
        index = index / (up + down)
    return index, d_prime, apart[1:].mean(axis=0), _p(apart)
