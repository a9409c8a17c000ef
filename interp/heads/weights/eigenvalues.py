"""Eigenvalues of the full OV circuit, which say whether a head copies or negates by its weights."""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

_AT_ONCE = 50


def ov_eigenvalues(
    W_V: Float[Tensor, "n_heads d_model d_head"],
    W_O: Float[Tensor, "n_heads d_head d_model"],
    round_trip: Float[Tensor, "d_model d_model"],
) -> Complex[Tensor, "n_heads d_head"]:
    """Eigenvalues of every head's token-to-logit circuit E W_V W_O U, but for the many zeros.

    `round_trip` is U E, formed once. E W_V W_O U [d_vocab, d_vocab] and W_O U E W_V
    [d_head, d_head] share all eigenvalues other than 0, since XY and YX do.
    """
    core = W_O.double() @ round_trip.double() @ W_V.double()
    return torch.linalg.eigvals(core)


def eigenvalue_ratio(
    eigenvalues: Complex[Tensor, "*heads d_head"],
) -> Float[Tensor, "*heads"]:
    """Sum of the eigenvalues over the sum of their sizes, −1 to 1 (Elhage et al. 2021).

    1: every direction of tokens is raised by itself, copying; −1: lowered, suppression. The sum
    is real because complex ones come in pairs. NaN for a head that writes nothing.
    """
    size = eigenvalues.abs().sum(-1)
    return torch.where(size > 0, eigenvalues.real.sum(-1) / size, torch.nan)


def random_ratios(
    round_trip: Float[Tensor, "d_model d_model"],
    d_head: int,
    *,
    draws: int,
    generator: torch.Generator,
) -> Float[Tensor, " draws"]:
    """`eigenvalue_ratio` of heads whose W_V and W_O are drawn at random: what chance gives.

    Independent normal entries. Neither norm matters to a ratio, and such matrices look the same in
    any basis, so W_O U S Vᵀ W_V is drawn as W_O S W_V with the singular values S of `round_trip`:
    d_model * d_head² steps a draw instead of d_model² * d_head.
    """
    gram = round_trip.double().T @ round_trip.double()
    singular = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt().cpu()
    ratios = []
    for start in range(0, draws, _AT_ONCE):
        n = min(_AT_ONCE, draws - start)
        left = torch.randn(n, d_head, len(singular), generator=generator, dtype=torch.float64)
        right = torch.randn(n, len(singular), d_head, generator=generator, dtype=torch.float64)
        ratios.append(eigenvalue_ratio(torch.linalg.eigvals((left * singular) @ right)))
    return torch.cat(ratios)
