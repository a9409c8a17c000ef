"""What is measured side by side: the dictionary, and simpler ways to say as much with as much.

A contestant turns rows into codes and a reconstruction. All are as sparse as the dictionary: their
L0 is its mean L0, rounded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from interp.dictionaries.evaluation.moments import JointMoments
from interp.dictionaries.matching import random_directions
from interp.results.errors import Unsupported

_RIDGE = 1e-9
"""Of the largest variance: keeps directions in which rows never vary out of the inverse."""


class Coded(NamedTuple):
    """What a contestant makes of some rows."""

    codes: Float[Tensor, "rows features"]
    output: Float[Tensor, "rows d_out"]


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One column of the table."""

    key: str
    title: str
    note: str
    """What it is and what it was fitted on, in a sentence."""
    code: Callable[[Float[Tensor, "rows d_in"]], Coded]


def of_dictionary(sae: Any, *, key: str = "dictionary", title: str = "dictionary") -> Contestant:
    """The dictionary itself; Unsupported for one that reads whole sequences."""
    architecture = sae.cfg.architecture()
    if architecture == "temporal":
        raise Unsupported(
            "a temporal dictionary reads whole sequences, and a store's rows are single tokens: "
            "evaluate it with sae-lens"
        )

    def code(rows: Float[Tensor, "rows d_in"]) -> Coded:
        codes = sae.encode(rows)
        # The skip of a transcoder is no part of decode.
        output = sae.decode(codes)
        skip = getattr(sae, "W_skip", None)
        if skip is not None:
            output = output + rows.to(skip) @ skip.T
        return Coded(codes.to_dense() if codes.is_sparse else codes, output)

    note = f"{architecture}, {sae.cfg.d_sae:,} features"
    return Contestant(key=key, title=title, note=note, code=code)


def linear_map(moments: JointMoments, rank: int, *, transcoder: bool) -> Contestant:
    """PCA: the best reconstruction by `rank` fixed directions; codes are the projections.

    For a transcoder, whose target is another site, the best linear map of that rank
    (reduced-rank regression): ŷ = ȳ + (x − x̄) B V Vᵀ with B of least squares and V the leading
    eigenvectors of Bᵀ Σxx B. With y = x, B is the identity and V are the principal components.
    """
    n_rows, rank = moments.n, min(rank, moments.mean_y.shape[0])
    if transcoder:
        ridge = _RIDGE * moments.xx.diagonal().max().clamp(min=1e-30)
        solved = moments.xx + ridge * torch.eye(len(moments.xx), dtype=torch.float64)
        least_squares = torch.linalg.solve(solved, moments.xy)
        leading = _leading(least_squares.T @ moments.xx @ least_squares, rank)
        reading = least_squares @ leading
    else:
        leading = _leading(moments.xx, rank)
        reading = leading
    read, write = reading.float(), leading.T.float()
    mean_x, mean_y = moments.mean_x.float(), moments.mean_y.float()

    def code(rows: Float[Tensor, "rows d_in"]) -> Coded:
        codes = (rows - mean_x.to(rows.device)) @ read.to(rows.device)
        return Coded(codes, codes @ write.to(rows.device) + mean_y.to(rows.device))

    return Contestant(
        key="pca",
        title=f"{'linear map' if transcoder else 'PCA'} of rank {rank}",
        note=f"{rank} directions, dense, fitted on {n_rows:,} other rows",
        code=code,
    )


def neuron_basis(moments: JointMoments, k: int) -> Contestant:
    """The site's own axes: of every row the k entries furthest from their mean, the rest at it."""
    k, mean = min(k, moments.mean_x.shape[0]), moments.mean_x.float()

    def code(rows: Float[Tensor, "rows d_in"]) -> Coded:
        centred = rows - mean.to(rows.device)
        kept = centred.abs().topk(k, dim=-1).indices
        codes = torch.zeros_like(centred).scatter(-1, kept, centred.gather(-1, kept))
        return Coded(codes, codes + mean.to(rows.device))

    return Contestant(
        key="neurons",
        title=f"neuron basis, top {k}",
        note="the entries of each row furthest from their mean, the others at their mean",
        code=code,
    )


def random_dictionary(
    sae: Any,
    moments: JointMoments,
    fit: tuple[Float[Tensor, "rows d_in"], Float[Tensor, "rows d_out"]],
    *,
    l0: float,
    generator: torch.Generator,
) -> Contestant:
    """As many random unit directions; encoder their transpose; as sparse; best single gain.

    The k largest projections where the dictionary is TopK, else those above one threshold, set so
    that L0 is the dictionary's. One number, the gain that reconstructs `fit` best, is all that is
    learnt. A transcoder's reading directions are drawn apart.
    """
    d_sae, source, target = sae.cfg.d_sae, *fit
    write = random_directions(d_sae, target.shape[1], generator=generator).to(target.device)
    read = write.T
    if target is not source:
        read = random_directions(d_sae, source.shape[1], generator=generator).to(source.device).T
    mean_x, mean_y = moments.mean_x.float().to(source), moments.mean_y.float().to(target)
    k = max(1, min(round(l0), d_sae))
    fixed = sae.cfg.architecture() == "topk"
    threshold = 0.0 if fixed else _threshold((source - mean_x) @ read, l0)

    def codes_of(rows: Float[Tensor, "rows d_in"]) -> Float[Tensor, "rows d_sae"]:
        hidden = (rows - mean_x) @ read
        if not fixed:
            return hidden * (hidden > threshold)
        kept = hidden.topk(k, dim=-1)
        return torch.zeros_like(hidden).scatter(-1, kept.indices, kept.values.relu())

    plain = codes_of(source) @ write
    gain = (plain * (target - mean_y)).sum() / plain.square().sum().clamp(min=1e-30)

    def code(rows: Float[Tensor, "rows d_in"]) -> Coded:
        codes = codes_of(rows) * gain
        return Coded(codes, codes @ write + mean_y)

    how = f"the {k} largest" if fixed else f"those above {threshold:.3g}"
    return Contestant(
        key="random",
        title="random dictionary",
        note=f"{d_sae:,} random directions, {how}, times {float(gain):.3g} (the best gain)",
        code=code,
    )


def _leading(symmetric: Float[Tensor, "d d"], rank: int) -> Float[Tensor, "d rank"]:
    """Eigenvectors of the largest eigenvalues."""
    return torch.linalg.eigh(symmetric).eigenvectors.flip(-1)[:, :rank]


def _threshold(hidden: Float[Tensor, "rows d_sae"], l0: float) -> float:
    """What as many entries exceed as `l0` a row are."""
    n = max(1, min(round(l0 * len(hidden)), hidden.numel() - 1))
    kept = torch.topk(hidden.flatten(), n + 1).values
    return max(float(kept[-1]), 0.0)
