"""Ways to disturb neurons, as interventions, and what must be known of them beforehand."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from interp.interventions import Intervention, gaussian, mean, on_units, resample, shuffle, zero
from interp.results.errors import BadInput

Mode = Literal["mean", "zero", "gaussian", "gaussian-raw", "shuffle", "resample"]


class SiteEstimates(NamedTuple):
    """What the validation tokens say of the neurons of one site."""

    mean: Float[Tensor, " units"]
    sd: Float[Tensor, " units"]
    mass: Float[Tensor, " units"]
    """Mean absolute activation."""
    rows: dict[str, Float[Tensor, "_ units"]]
    """Tokens of each function, to resample from; empty where nobody asked for them."""


class Disturbed(NamedTuple):
    """One site in one forward pass."""

    site: str
    units: Int[Tensor, " chosen"]
    estimates: SiteEstimates
    function: str
    """Of the items in the pass."""
    where: Bool[Tensor, "batch pos"]
    """Text tokens: only they are edited."""
    scale: float
    generator: Generator


def _mean(at: Disturbed) -> Intervention:
    return mean(at.site, at.estimates.mean[at.units], where=at.where)


def _zero(at: Disturbed) -> Intervention:
    return zero(at.site, where=at.where)


def _gaussian(at: Disturbed) -> Intervention:
    sigma = at.scale * at.estimates.sd[at.units]
    return gaussian(at.site, sigma, generator=at.generator, where=at.where)


def _gaussian_raw(at: Disturbed) -> Intervention:
    sigma = torch.full((len(at.units),), at.scale)
    return gaussian(at.site, sigma, generator=at.generator, where=at.where)


def _shuffle(at: Disturbed) -> Intervention:
    return shuffle(at.site, factor=at.scale, generator=at.generator, where=at.where)


def _resample(at: Disturbed) -> Intervention:
    others = [rows for name, rows in at.estimates.rows.items() if name != at.function]
    rows = torch.cat(others)[:, at.units]
    return resample(at.site, rows, generator=at.generator, where=at.where)


class _ModeFacts(NamedTuple):
    build: Callable[[Disturbed], Intervention]
    scale: float | None
    """What stands in for a scale that was not given; None where there is none to give."""
    text: str


MODES: dict[str, _ModeFacts] = {
    "mean": _ModeFacts(_mean, None, "neurons at their mean over validation tokens"),
    "zero": _ModeFacts(_zero, None, "neurons at zero"),
    "gaussian": _ModeFacts(_gaussian, 1.0, "noise of {scale} times each neuron's SD added"),
    "gaussian-raw": _ModeFacts(_gaussian_raw, 0.1, "noise of SD {scale} added"),
    "shuffle": _ModeFacts(
        _shuffle, 1.0, "values dealt anew over neurons and tokens, times {scale}"
    ),
    "resample": _ModeFacts(_resample, None, "neurons as on a token of another function"),
}
"""gaussian-raw 0.1 is arXiv 2211.07349, shuffle 4 is arXiv 2305.18390."""


def scale_of(mode: str, scale: float | None) -> float:
    """The scale of a mode, its own where none is given; 1 where it takes none."""
    if mode not in MODES:
        raise BadInput(f"mode {mode!r}: expected one of {', '.join(MODES)}")
    own = MODES[mode].scale
    if own is None and scale is not None:
        raise BadInput(f"mode {mode} takes no scale: leave it out, or use gaussian or shuffle")
    return (1.0 if own is None else own) if scale is None else scale


def disturb(mode: str, at: Disturbed) -> Intervention:
    """The intervention of `mode` on some neurons of one site."""
    return on_units(MODES[mode].build(at), at.units)
