"""How alike two layers see the same examples: linear CKA, without the bias of few examples.

CKA = HSIC(K, L)/sqrt(HSIC(K, K) HSIC(L, L)) of the Gram matrices K = XXᵀ and L = YYᵀ (arXiv
1905.00414). With the plain estimate two independent layers of width d have about d/(d + n) on n
examples. HSIC₁ (Song et al. 2012, equation 5) has no bias, so that it may be averaged over
minibatches (arXiv 2010.15327, equation 3) before the ratio is taken.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.results.errors import BadInput

FEWEST = 4
"""Examples that HSIC₁ needs."""


class LayerCka(NamedTuple):
    """CKA of every pair of layers."""

    cka: Float[np.ndarray, "layers layers"]
    error: Float[np.ndarray, "layers layers"]
    """Standard error, by leaving out one minibatch at a time; NaN with one minibatch."""
    null: Float[np.ndarray, "layers layers"]
    """The same where one layer's examples are dealt anew in each minibatch."""
    n: int
    """Examples."""
    minibatch: float
    """Mean examples a minibatch."""


class MinibatchCka:
    """Linear CKA between layers from one minibatch after another.

    Parts that saw other minibatches merge, in any order. HSIC values, which are sums of products,
    are kept for each minibatch.
    """

    def __init__(self, *, biased: bool = False, seed: int = 0) -> None:
        self._hsic = hsic_biased if biased else hsic_unbiased
        self._seed = seed
        self._parts: list[tuple[int, int, np.ndarray, np.ndarray]] = []

    def update(self, states: Float[Tensor, "layers examples d"], *, number: int) -> None:
        """Take in a minibatch; `number` is its place among all, and seeds its null."""
        n = states.shape[1]
        if n < FEWEST:
            raise BadInput(f"a minibatch of {n} examples: CKA needs at least {FEWEST}")
        grams = states.double() @ states.double().mT
        generator = torch.Generator().manual_seed((self._seed << 20) + number)
        dealt = torch.randperm(n, generator=generator).to(grams.device)
        other = grams[:, dealt][:, :, dealt]
        own, null = self._hsic(grams, grams), self._hsic(grams, other)
        self._parts.append((number, n, own.cpu().numpy(), null.cpu().numpy()))

    def merge(self, other: "MinibatchCka") -> None:
        """Take in minibatches that another has seen."""
        self._parts = sorted(self._parts + other._parts, key=lambda part: part[0])

    def finish(self) -> LayerCka:
        """The ratio of the means. NaN for a layer that gives all examples the same."""
        if not self._parts:
            raise BadInput("CKA of no examples: the text holds none")
        sizes = np.array([part[1] for part in self._parts], float)
        own = np.stack([part[2] * part[1] for part in self._parts])
        null = np.stack([part[3] * part[1] for part in self._parts])
        total = own.sum(axis=0)
        error = np.full(total.shape, np.nan)
        if (n := len(own)) > 1:
            left_out = np.stack([_ratio(total - part) for part in own])
            error = np.sqrt((n - 1) / n * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
        dealt = _ratio(null.sum(axis=0), np.diagonal(total))
        return LayerCka(_ratio(total), error, dealt, int(sizes.sum()), float(sizes.mean()))


def hsic_unbiased(
    k: Float[Tensor, "layers n n"], other: Float[Tensor, "layers n n"]
) -> Float[Tensor, "layers layers"]:
    """HSIC₁ of every Gram matrix of one stack with every one of the other.

    [tr(K̃L̃) + 1ᵀK̃1 1ᵀL̃1/((n-1)(n-2)) - 2/(n-2) 1ᵀK̃L̃1]/(n(n-3)), diagonals of K̃ and L̃ zero.
    """
    n = k.shape[1]
    off = 1 - torch.eye(n, dtype=k.dtype, device=k.device)
    k, other = k * off, other * off
    rows, other_rows = k.sum(dim=2), other.sum(dim=2)
    trace = k.flatten(1) @ other.flatten(1).T
    sums = rows.sum(dim=1)[:, None] * other_rows.sum(dim=1)
    return (trace + sums / ((n - 1) * (n - 2)) - 2 / (n - 2) * rows @ other_rows.T) / (n * (n - 3))


def hsic_biased(
    k: Float[Tensor, "layers n n"], other: Float[Tensor, "layers n n"]
) -> Float[Tensor, "layers layers"]:
    """HSIC₀, tr(KHLH)/(n-1)² with H = I - 11ᵀ/n: what published layer similarities often used."""
    n = k.shape[1]
    centred = [
        x
        - x.mean(dim=1, keepdim=True)
        - x.mean(dim=2, keepdim=True)
        + x.mean(dim=(1, 2))[:, None, None]
        for x in (k, other)
    ]
    return centred[0].flatten(1) @ centred[1].flatten(1).T / (n - 1) ** 2


def biased_floor(n: int | float, d: int) -> float:
    """About what the biased CKA of two independent layers of width `d` is on `n` examples."""
    return d / (d + n)


def _ratio(
    hsic: Float[np.ndarray, "layers layers"], own: Float[np.ndarray, " layers"] | None = None
) -> Float[np.ndarray, "layers layers"]:
    of_itself = np.diagonal(hsic) if own is None else own
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.sqrt(np.where(of_itself > 0, of_itself, np.nan))
        return hsic / scale[:, None] / scale
