"""Activations with known features in superposition, and how many of them a dictionary recovers.

x = sum_i a_i f_i: more unit directions f_i than dimensions, few of them active at a time, some far
more often than others, and members of one group together more often than by chance.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sae_lens.saes.sae import SAE
from sae_lens.synthetic import ActivationGenerator, FeatureDictionary, LowRankCorrelationMatrix
from torch import Tensor

from interp.dictionaries.architectures import seeded
from interp.dictionaries.matching import (
    Matches,
    best_matches,
    directions,
    one_to_one,
    random_directions,
)
from interp.dictionaries.recovery import Detection, Recovery
from interp.results.errors import BadInput, Mismatch
from interp.results.provenance import Provenance

NULL_DRAWS = 5
UNSEEN = 1 << 31
"""A stream that no training takes: train on small numbers."""
_DRAWN_ROWS = 4096


class SyntheticRows(NamedTuple):
    """A batch with its truth."""

    activations: Float[Tensor, "batch n_features"]
    """How strongly each true feature is active; 0 where it is not."""
    x: Float[Tensor, "batch d_in"]


class Superposition:
    """True features and the law by which they are active; rows are a function of seed and number.

    Group members share a Gaussian (copula) with correlation `group_correlation` before the
    threshold that makes them active with their own probability; an active one has magnitude
    relu(N(1, magnitude_std)). Raises BadInput where the numbers do not go together.
    """

    def __init__(
        self,
        *,
        n_features: int = 512,
        d_in: int = 128,
        mean_active: float = 8.0,
        zipf_exponent: float = 1.0,
        max_probability: float = 0.3,
        group_size: int = 8,
        group_correlation: float = 0.5,
        magnitude_std: float = 0.3,
        seed: int = 0,
    ) -> None:
        if not 0 <= group_correlation < 1 or n_features % group_size:
            raise BadInput(
                f"groups of {group_size} among {n_features} features at correlation "
                f"{group_correlation}: expected a divisor and a correlation from 0 to below 1"
            )
        self.settings = {
            "n_features": n_features,
            "d_in": d_in,
            "mean_active": mean_active,
            "zipf_exponent": zipf_exponent,
            "max_probability": max_probability,
            "group_size": group_size,
            "group_correlation": group_correlation,
            "magnitude_std": magnitude_std,
            "seed": seed,
        }
        self.seed, self.n_features = seed, n_features
        self.probability = zipf_probabilities(
            n_features, mean_active=mean_active, exponent=zipf_exponent, cap=max_probability
        )
        rng = np.random.default_rng([seed, 0])
        # A seed of its own: a dictionary started at `seed` must not start at the truth.
        own_seed = int(rng.integers(1 << 62))
        self.group = torch.from_numpy(rng.permutation(n_features) // group_size)
        # Random directions, not sae-lens's default of nearly orthogonal ones: the harder case.
        self._dictionary = FeatureDictionary(n_features, d_in, initializer=None, seed=own_seed)
        self._law = ActivationGenerator(
            n_features,
            self.probability,
            std_firing_magnitudes=magnitude_std,
            correlation_matrix=_shared_by_group(self.group, group_correlation),
        )

    @property
    def features(self) -> Float[Tensor, "n_features d_in"]:
        """The true directions, of length 1; the first is the most frequent."""
        return self._dictionary.feature_vectors.detach()

    def rows(self, n: int, *, stream: int, position: int = 0) -> SyntheticRows:
        """The batch of `n` rows at `position` of a stream: the same one whenever it is asked for.

        sae-lens draws from torch's global generator, which is left as it was found.
        """
        seeds = np.random.SeedSequence([self.seed, 1, stream, position]).generate_state(1)
        with seeded(int(seeds[0])), torch.no_grad():
            activations = self._law.sample(n)
            return SyntheticRows(activations, self._dictionary(activations))

    def batches(self, batch_size: int, *, stream: int, start: int = 0) -> "SyntheticBatches":
        """An endless iterator over a stream's rows, from batch `start`."""
        return SyntheticBatches(self, batch_size, stream=stream, start=start)


class SyntheticBatches(Iterator[Tensor]):
    """Rows without end; `position` is the number of batches given, and where to start again."""

    def __init__(
        self, truth: Superposition, batch_size: int, *, stream: int, start: int = 0
    ) -> None:
        self._truth, self._batch_size, self._stream = truth, batch_size, stream
        self.position = start

    def __next__(self) -> Float[Tensor, "batch d_in"]:
        rows = self._truth.rows(self._batch_size, stream=self._stream, position=self.position)
        self.position += 1
        return rows.x


def zipf_probabilities(
    n_features: int, *, mean_active: float, exponent: float, cap: float
) -> Float[Tensor, " n_features"]:
    """p_i = min(cap, c / i^exponent), with c such that `mean_active` features are active."""
    if not 0 < mean_active < n_features * cap or cap > 1:
        raise BadInput(
            f"{mean_active} of {n_features} features active, none with more than {cap}: "
            f"expected more than 0 and less than {n_features * cap:g}"
        )
    share = 1 / np.arange(1, n_features + 1) ** exponent
    # With the first m features at the cap, c shares the rest of `mean_active` among the others.
    scale = (mean_active - cap * np.arange(n_features)) / share[::-1].cumsum()[::-1]
    c = scale[np.argmax(scale * share <= cap)]
    return torch.from_numpy(np.minimum(cap, c * share)).float()


def _shared_by_group(
    group: Int[Tensor, " n_features"], correlation: float
) -> LowRankCorrelationMatrix:
    factor = torch.nn.functional.one_hot(group).float() * correlation**0.5
    return LowRankCorrelationMatrix(factor, torch.full((len(group),), 1 - correlation))


def recovery(
    sae: SAE[Any], truth: Superposition, *, threshold: float = 0.9, null_seed: int = 0
) -> Recovery:
    """How many of the true features `sae` has a decoder row for, and how many a random one would.

    The null: `NULL_DRAWS` dictionaries of as many random directions. Raises Mismatch where the
    dictionary has another width.
    """
    rows = _rows_of(sae, truth)
    generator = torch.Generator().manual_seed(null_seed)
    null = [random_directions(*rows.shape, generator=generator) for _ in range(NULL_DRAWS)]
    return Recovery(
        threshold=threshold,
        d_sae=len(rows),
        cosine=best_matches(truth.features, rows).cosine,
        matched=own_rows(truth, rows).cosine,
        null_cosine=np.stack([best_matches(truth.features, drawn).cosine for drawn in null]),
        null_matched=np.stack([own_rows(truth, drawn).cosine for drawn in null]),
        probability=truth.probability.numpy(),
        provenance=_provenance("recovery", truth, null_seed, threshold=threshold),
    )


def _rows_of(sae: SAE[Any], truth: Superposition) -> Float[Tensor, "d_sae d_in"]:
    rows, d_in = directions(sae), truth.settings["d_in"]
    if rows.shape[1] != d_in:
        raise Mismatch(
            f"the dictionary writes {rows.shape[1]} dimensions and the features lie in {d_in}: "
            "pass the data that it was trained on"
        )
    return rows


def own_rows(truth: Superposition, rows: Float[Tensor, "d_sae d_in"]) -> Matches:
    """The decoder row that each feature has to itself; index -1 and NaN where rows ran out.

    The assignment with the largest sum of cosines (Hungarian method).
    """
    pairs = one_to_one(truth.features, rows)
    index = np.full(truth.n_features, -1, dtype=np.int64)
    cosine = np.full(truth.n_features, np.nan, dtype=np.float32)
    index[pairs.first], cosine[pairs.first] = pairs.second, pairs.cosine
    return Matches(index, cosine)


@torch.no_grad()
def detection(
    sae: SAE[Any], truth: Superposition, *, n_rows: int = 65_536, stream: int = UNSEEN
) -> Detection:
    """Precision and recall of each feature's own latent, one to one, over `n_rows` fresh rows."""
    row = torch.from_numpy(own_rows(truth, _rows_of(sae, truth)).index)
    hits, fired, active = np.zeros((3, len(row)))
    for position, start in enumerate(range(0, n_rows, _DRAWN_ROWS)):
        batch = truth.rows(min(_DRAWN_ROWS, n_rows - start), stream=stream, position=position)
        told = sae.encode(batch.x)[:, row.clamp(min=0)] != 0
        told = told & (row >= 0)
        is_active = batch.activations > 0
        hits += _count(told & is_active)
        fired += _count(told)
        active += _count(is_active)
    with np.errstate(invalid="ignore"):
        return Detection(
            precision=hits / fired,
            recall=np.where(row.numpy() >= 0, hits / active, np.nan),
            null_f1=2 * fired * active / np.maximum(fired + active, 1) / n_rows,
            n_rows=n_rows,
            provenance=_provenance("detection", truth, stream, n_rows=n_rows),
        )


def _count(told: Bool[Tensor, "batch n_features"]) -> Float[np.ndarray, " n_features"]:
    return told.sum(0).double().numpy()


def _provenance(name: str, truth: Superposition, seed: int, **settings: Any) -> Provenance:
    return Provenance.collect(
        f"interp.dictionaries.synthetic.{name}",
        model_hash=None,
        corpus_hash=None,
        seed=seed,
        settings={"data": truth.settings, **settings},
    )
