"""The baselines of one evaluation, fitted on rows that are not evaluated."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from interp.dictionaries.evaluation.contestants import (
    Contestant,
    linear_map,
    neuron_basis,
    random_dictionary,
)
from interp.dictionaries.evaluation.moments import JointMoments
from interp.dictionaries.evaluation.rows import RowReader, Span
from interp.results.errors import BadInput

_SAMPLE = 1024
WIDEST_PCA = 8192
"""Above this width the matrix of second moments (512 MB in float64) is not made."""


class Fit(NamedTuple):
    """What baselines know: moments of the fitted rows, and a sample of them."""

    moments: JointMoments
    source: Float[Tensor, "rows d_in"]
    target: Float[Tensor, "rows d_out"]
    """The same object as `source` unless another site is reconstructed."""
    l0: float
    """Mean L0 of the dictionary on the sample."""


def fit_on(reader: RowReader, spans: list[Span], dictionary: Contestant, *, batch_size: int) -> Fit:
    """Moments over `spans`, and about 1024 rows from all over them. BadInput where no text is."""
    n_rows = sum(stop - start for start, stop in spans)
    stride = max(1, n_rows // _SAMPLE)
    moments: JointMoments | None = None
    kept: list[tuple[Tensor, Tensor]] = []
    for batch in reader.batches(spans, batch_size=batch_size):
        moments = moments or JointMoments(batch.source.shape[1], batch.target.shape[1])
        moments.update(batch.source, batch.target)
        kept.append((batch.source[::stride], batch.target[::stride]))
    if moments is None:
        raise BadInput(f"{reader.store.path} holds special tokens only where baselines are fitted")
    source = torch.cat([source for source, _ in kept])
    same = reader.site == reader.site_out
    target = source if same else torch.cat([target for _, target in kept])
    l0 = float((dictionary.code(source).codes != 0).sum(-1).double().mean())
    return Fit(moments, source, target, l0)


def fitted_baselines(
    sae: Any, fit: Fit, names: Sequence[str], *, seed: int
) -> tuple[list[Contestant], list[str]]:
    """The baselines of `names`, each as sparse as the dictionary, and why some are left out."""
    found, left_out = [], []
    rank = max(1, round(fit.l0))
    transcoder = fit.target is not fit.source
    if "pca" in names:
        if max(fit.moments.mean_x.shape[0], fit.moments.mean_y.shape[0]) <= WIDEST_PCA:
            found.append(linear_map(fit.moments, rank, transcoder=transcoder))
        else:
            left_out.append(f"no PCA: the site is wider than {WIDEST_PCA}")
    if "random" in names:
        generator = torch.Generator().manual_seed(seed)
        sample = (fit.source, fit.target)
        found.append(random_dictionary(sae, fit.moments, sample, l0=fit.l0, generator=generator))
    if "neurons" in names:
        if transcoder:
            left_out.append("no neuron basis: a transcoder's two sites do not share their axes")
        else:
            found.append(neuron_basis(fit.moments, rank))
    return found, left_out
