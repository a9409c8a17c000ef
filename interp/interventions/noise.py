"""Interventions by chance: noise, values dealt anew, and what another text gave.

Each holds a generator, so a second forward pass draws anew, and the same seed draws the same.
Numbers are drawn on the CPU: the same on every device.
"""

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from interp.interventions.intervention import Intervention
from interp.results.errors import BadInput


def gaussian(
    site: str,
    sigma: Float[Tensor, "..."],
    *,
    generator: Generator,
    where: Bool[Tensor, "batch pos"] | None = None,
) -> Intervention:
    """Gaussian noise of standard deviation `sigma`, one entry's shape, is added.

    One draw an example, the same at all its tokens (arXiv 2211.07349); where a site holds
    (batch * pos, ...), one a token.
    """

    def noisy(old: Tensor) -> Tensor:
        _require_entry(sigma, old, site, "a standard deviation")
        shape = [len(old), *([1] * (old.ndim - 1 - sigma.ndim)), *sigma.shape]
        draw = torch.randn(shape, generator=generator)
        return old + draw.to(old) * sigma.to(old)

    return Intervention(site=site, replace=noisy, where=where)


def shuffle(
    site: str,
    *,
    generator: Generator,
    factor: float = 1.0,
    where: Bool[Tensor, "batch pos"] | None = None,
) -> Intervention:
    """All values of a batch are pooled over tokens and units, dealt anew, and multiplied.

    The multiset of values stays as it is before the factor, which was 4 in arXiv 2305.18390. With
    `where` only values of those tokens are pooled and dealt.
    """

    def dealt(old: Tensor) -> Tensor:
        values = old if where is None else _entries(old, where, site)
        order = torch.randperm(values.numel(), generator=generator).to(old.device)
        mixed = (values.reshape(-1)[order] * factor).reshape(values.shape)
        return mixed if where is None else _with_entries(old, where, mixed)

    return Intervention(site=site, replace=dealt, where=where)


def resample(
    site: str,
    rows: Float[Tensor, "rows ..."],
    *,
    generator: Generator,
    where: Bool[Tensor, "batch pos"] | None = None,
) -> Intervention:
    """Every token's entry becomes a row of `rows`, drawn anew for each: what another text gave.

    Units of one site come from the same row. Interventions at several sites whose generators have
    the same seed draw the same rows, so that the layers stay together.
    """
    if not len(rows):
        raise BadInput(f"{site}: there is no row to resample from")

    def drawn(old: Tensor) -> Tensor:
        _require_entry(rows[0], old, site, "a row")
        lead = old.shape[: old.ndim - rows.ndim + 1]
        chosen = torch.randint(len(rows), (lead.numel(),), generator=generator)
        return rows.to(old)[chosen.to(old.device)].reshape(old.shape)

    return Intervention(site=site, replace=drawn, where=where)


def _require_entry(entry: Tensor, old: Tensor, site: str, what: str) -> None:
    if old.shape[old.ndim - entry.ndim :] != entry.shape:
        raise BadInput(
            f"{what} of shape {tuple(entry.shape)} does not fit {site}, which holds "
            f"{tuple(old.shape)}: give one token's entry"
        )


def _entries(old: Tensor, where: Tensor, site: str) -> Tensor:
    flat = old.flatten(0, 1) if old.shape[:2] == where.shape else old
    if flat.shape[0] != where.numel():
        raise BadInput(f"{site} holds {tuple(old.shape)}: it has no entry a token to choose from")
    return flat[where.flatten().to(old.device)]


def _with_entries(old: Tensor, where: Tensor, entries: Tensor) -> Tensor:
    flat = where.flatten().to(old.device).nonzero()[:, 0]
    rows = old.flatten(0, 1) if old.shape[:2] == where.shape else old
    return rows.index_copy(0, flat, entries.to(old)).reshape(old.shape)
