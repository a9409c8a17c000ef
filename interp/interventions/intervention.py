"""Intervention: what stands at one site of a model instead of what the model computed there."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.results.errors import BadInput

Replacement = Callable[[Tensor], Tensor]
"""From the value of the site that is read to the new value of the site that is written."""


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """One site, and the function that makes what is handed on in its place.

    A value: it holds no model, and may be used on any number of forward passes.
    """

    site: str
    """Any name of the hook whose value is replaced."""
    replace: Replacement
    """Gets the value that `reads` holds; returns a tensor of the site's shape, never its argument
    edited in place."""
    reads: str | None = None
    """A site computed before `site`; None is `site` itself. A transcoder reads one and writes
    another."""
    where: Bool[Tensor, "batch pos"] | None = None
    """Tokens whose entry is replaced: leave out BOS, padding, or all but one position. None
    replaces everything, also at sites without an entry a token, such as attention patterns."""


def zero(site: str, *, where: Bool[Tensor, "batch pos"] | None = None) -> Intervention:
    """Zero ablation: the site hands on nothing."""
    return Intervention(site=site, replace=torch.zeros_like, where=where)


def mean(
    site: str, value: Float[Tensor, "..."], *, where: Bool[Tensor, "batch pos"] | None = None
) -> Intervention:
    """Mean ablation: every token's entry becomes `value`, which has the shape of one entry.

    `site_means` estimates it from text; a store's rows give it without running the model again.
    """

    def constant(old: Tensor) -> Tensor:
        if old.shape[old.ndim - value.ndim :] != value.shape:
            raise BadInput(
                f"a mean of shape {tuple(value.shape)} cannot stand at {site}, which holds "
                f"{tuple(old.shape)}: give one token's entry"
            )
        return value.to(old).expand_as(old).clone()

    return Intervention(site=site, replace=constant, where=where)


def splice(
    site: str,
    function: Replacement,
    *,
    reads: str | None = None,
    where: Bool[Tensor, "batch pos"] | None = None,
) -> Intervention:
    """The site hands on `function` of its own value, or of what an earlier site `reads` held."""
    return Intervention(site=site, replace=function, reads=reads, where=where)


def handed_on(
    old: Float[Tensor, "..."],
    new: Float[Tensor, "..."],
    where: Bool[Tensor, "batch pos"] | None,
    *,
    site: str,
) -> Float[Tensor, "..."]:
    """`new` where it is wanted and `old` elsewhere: a new tensor of `old`'s type and place.

    A site that holds (batch * pos, ...) takes the same mask as one that holds (batch, pos, ...).
    """
    if new.shape != old.shape:
        raise BadInput(
            f"{site} holds {tuple(old.shape)} and its replacement has shape {tuple(new.shape)}: "
            "a replacement keeps the shape"
        )
    new = new.to(old)
    if where is None:
        # The bridge knows an edit by its being another object.
        return new.clone() if new is old else new
    mask = where.to(old.device)
    leading = 2 if old.shape[:2] == mask.shape else 1
    if leading == 1 and old.shape[:1] != (mask.numel(),):
        raise BadInput(
            f"{site} holds {tuple(old.shape)}, which has no entry for each of "
            f"{'x'.join(map(str, mask.shape))} tokens: intervene on it without `where`"
        )
    mask = mask.reshape(old.shape[:leading] + (1,) * (old.ndim - leading))
    return torch.where(mask, new, old)
