"""The views of all features, one dataclass a question: what fires, where, with what, for what."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
BANDS = (0.25, 0.5, 0.75)
"""Quantiles of a feature's firings between which the sampled contexts are sorted into bands."""
BINS_PER_OCTAVE = 8
LOWEST_OCTAVE, HIGHEST_OCTAVE = -20, 12
N_BINS = (HIGHEST_OCTAVE - LOWEST_OCTAVE) * BINS_PER_OCTAVE


def bin_edges() -> Float[np.ndarray, " n_edges"]:
    """The ends of the activation bins: each octave from 2^-20 to 2^12 cut into 8 equal parts.

    What lies outside is counted in the first and the last bin.
    """
    octaves = 2.0 ** np.arange(LOWEST_OCTAVE, HIGHEST_OCTAVE)
    parts = 1 + np.arange(BINS_PER_OCTAVE) / BINS_PER_OCTAVE
    return np.append((octaves[:, None] * parts).ravel(), 2.0**HIGHEST_OCTAVE)


@dataclass(frozen=True, kw_only=True)
class Activity:
    """How often and how strongly each feature fires."""

    n_active: Int[np.ndarray, " d_sae"]
    density: Float[np.ndarray, " d_sae"]
    """Share of rows on which it fires."""
    density_interval: Float[np.ndarray, "d_sae 2"]
    """Wilson's 95% interval, as if rows were independent; neighbouring tokens are not."""
    mean: Float[np.ndarray, " d_sae"]
    """Of |activation| on the rows on which it fires; NaN for a feature that never does."""
    max: Float[np.ndarray, " d_sae"]
    """Of |activation|."""
    quantiles: Float[np.ndarray, "d_sae n_quantiles"]
    """`QUANTILES` of |activation|, from the histogram: within 6.25% of their value."""
    histogram: Int[np.ndarray, "d_sae n_bins"]
    """Firings with |activation| in each of `bin_edges()`."""


@dataclass(frozen=True, kw_only=True)
class Contexts:
    """Rows on which each feature fires, with the tokens around them and its activation there."""

    row: Int[np.ndarray, "d_sae n"]
    """Number in the store; -1 where the feature has no more."""
    sequence: Int[np.ndarray, "d_sae n"]
    activation: Float[np.ndarray, "d_sae n"]
    """With its sign, which some architectures have; ranked and banded without."""
    band: Int[np.ndarray, "d_sae n"]
    """Which quarter of the feature's firings it lies in, 0 the weakest; -1 for none."""
    token: Int[np.ndarray, "d_sae n pos"]
    """Ids around the row, which stands in the middle; -1 outside its document or sequence."""
    along: Float[np.ndarray, "d_sae n pos"]
    """The feature's activation on each of them; NaN outside."""


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The features whose decoder directions are most alike."""

    feature: Int[np.ndarray, "d_sae n"]
    cosine: Float[np.ndarray, "d_sae n"]
    null: float
    """Largest cosine of a random direction with this decoder: its 95% quantile over 256 draws."""


@dataclass(frozen=True, kw_only=True)
class Coactivation:
    """The features that fire on the same rows more often than their densities say."""

    feature: Int[np.ndarray, "d_sae n"]
    """-1 where there is no more."""
    phi: Float[np.ndarray, "d_sae n"]
    """Pearson correlation of the two firing indicators."""
    together: Int[np.ndarray, "d_sae n"]
    expected: Float[np.ndarray, "d_sae n"]
    """Rows together by chance: the product of the two counts over the rows."""
    p_value: Float[np.ndarray, "d_sae n"]
    """One-sided, times the number of pairs of features (Bonferroni), at most 1."""
    n_rows: int
    """Rows counted: all of them, or a uniform sample."""


@dataclass(frozen=True, kw_only=True)
class Neurons:
    """The neurons of a second site whose values go with each feature's activation."""

    site: str
    neuron: Int[np.ndarray, "d_sae n"]
    correlation: Float[np.ndarray, "d_sae n"]
    """Pearson, over all rows, zeros included; NaN for a feature that never fires."""
    null: Float[np.ndarray, " d_sae"]
    """What the strongest of as many neurons by chance exceeds in 5% of features as dense as this.

    By chance: the values of neurons from other rows of the store, in stretches, so that neighbours
    stay neighbours.
    """


@dataclass(frozen=True, kw_only=True)
class Logits:
    """What each decoder row adds to the logits on the direct path, no layer in between.

    The row goes through the final norm's gain (centred first for a LayerNorm) and the unembedding;
    the norm's own scale, which is a number for each token, and all biases are left out.
    """

    promoted: Int[np.ndarray, "d_sae n"]
    """Token ids, the largest first."""
    promoted_by: Float[np.ndarray, "d_sae n"]
    suppressed: Int[np.ndarray, "d_sae n"]
    suppressed_by: Float[np.ndarray, "d_sae n"]
    null: Float[np.ndarray, " d_sae"]
    """Largest |logit| of a random direction of the same norm: its 95% quantile over 256 draws."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """How well each feature tells the rows with one value of a label from all others."""

    column: str
    values: tuple[int, ...]
    unit: str
    """What the p-values count: `documents` for a label of whole documents, else `rows`.

    Rows are counted as if they were independent. Neighbouring tokens are not, so that p-values of
    rows are too small where both the label and the feature come in stretches.
    """
    n: Int[np.ndarray, " values"]
    """Units with each value."""
    base_rate: Float[np.ndarray, " values"]
    """Share of rows with each value: the average precision by chance."""
    average_precision: Float[np.ndarray, "d_sae values"]
    """Of ranking all rows by |activation|; activations of one bin are ties, as in scikit-learn."""
    average_precision_bounds: Float[np.ndarray, "d_sae values 2"]
    """What it could be were the activations inside a bin told apart (rows at zero stay ties)."""
    fired: Int[np.ndarray, "d_sae values"]
    """Units with the value in which the feature fires."""
    expected: Float[np.ndarray, "d_sae values"]
    """How many those would be by chance, given in how many units it fires at all: of documents,
    longer ones more likely (`expected_documents`)."""
    p_value: Float[np.ndarray, "d_sae values"]
    """One-sided, of firing in so many units with the value where `expected` are by chance."""
    q_value: Float[np.ndarray, "d_sae values"]
    """p adjusted over features and values of this column (Benjamini and Hochberg 1995)."""
