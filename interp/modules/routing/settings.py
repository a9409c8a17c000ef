"""RoutingSettings: how routing is measured, and what is compared."""

from dataclasses import dataclass
from pathlib import Path
from pkgutil import iter_modules
from typing import Literal

from interp.modules.routing.report import Contestant

# A router's file is called as it is; reading the names must not import torch.
ROUTERS = tuple(sorted(m.name for m in iter_modules([str(Path(__file__).parent / "routers")])))


@dataclass(frozen=True, kw_only=True)
class RoutingSettings:
    """How routing is measured."""

    routers: tuple[str, ...] = ROUTERS
    effect_ks: tuple[int, ...] = ()
    """Experts chosen when the loss is measured; a tenth, a fifth and two fifths if empty."""
    measure: Literal["auto", "mass", "norm"] = "auto"
    """What an expert contributes; auto is mass where no activation is negative."""
    fill: Literal["zero", "mean"] = "zero"
    """What neurons of experts that were not chosen hand on."""
    n_random: int = 5
    """Random partitions that every router is measured on as well."""
    batch_size: int = 32
    seed: int = 0


def contestants_of(own: RoutingSettings) -> tuple[Contestant, ...]:
    """Every router on the given experts, and on random ones where there are draws."""
    names = ("own", "random") if own.n_random else ("own",)
    return tuple(Contestant(name, router) for name in names for router in own.routers)
