"""What fitted routers capture, and what a model loses that computes with their choice alone."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.interventions import Intervention
from interp.modules.perturbation.items import FunctionItem
from interp.modules.perturbation.measuring import ItemBatch, scored
from interp.modules.routing.fitting import Variant
from interp.modules.routing.moefied import moefied
from interp.modules.routing.reading import LayerRows, TokenRows
from interp.modules.routing.routers import routers
from interp.modules.routing.scores import captured
from interp.modules.routing.settings import RoutingSettings, contestants_of
from interp.results.bootstrap import ratio_bootstrap
from interp.results.intervals import paired_bootstrap
from interp.results.progress import progress

_DRAWS = 2000


class SplitScores(NamedTuple):
    """Of every item of the test split; accuracy is NaN where there is no answer."""

    loss: Float64[np.ndarray, " items"]
    accuracy: Float64[np.ndarray, " items"]


def captured_shares(
    variants: list[Variant],
    seen: TokenRows,
    sites: Sequence[str],
    ks: Int64[np.ndarray, " ks"],
    own: RoutingSettings,
    *,
    n_items: int,
) -> Float64[np.ndarray, "sites contestants ks 3"]:
    """Mean share of the contribution that k experts hold: value, and 95% interval or range."""
    contestants = contestants_of(own)
    found = np.empty((len(sites), len(contestants), len(ks), 3))
    rng = np.random.default_rng([own.seed, 4])
    for s, site in enumerate(sites):
        for c, (name, router) in enumerate(contestants):
            curves = [
                _curve(variant, router, seen.at[site], site)
                for variant in variants
                if variant.name == name
            ]
            for i, k in enumerate(ks):
                shares = [curve[:, k - 1] for curve in curves]
                if name == "own":
                    found[s, c, i] = _over_items(shares[0], seen.item, n_items, rng)
                else:
                    found[s, c, i] = mean_and_range(
                        np.array([np.nanmean(share) for share in shares])
                    )
    return found


def mean_and_range(draws: Float64[np.ndarray, " draws"]) -> tuple[float, float, float]:
    """Mean, least and largest of the draws; few of them say no more, and a share stays a share."""
    return float(draws.mean()), float(draws.min()), float(draws.max())


def _curve(
    variant: Variant, router: str, rows: LayerRows, site: str
) -> Float64[np.ndarray, "rows experts"]:
    value = rows.x if routers()[router].reads == "input" else rows.h
    true = variant.measures[site](rows.h)
    return captured(true, variant.scorers[router][site](value)).numpy()


def _over_items(
    shares: Float64[np.ndarray, " rows"],
    item: np.ndarray,
    n_items: int,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    counted = np.isfinite(shares)
    part = np.bincount(item, np.where(counted, shares, 0.0), minlength=n_items)
    whole = np.bincount(item, counted.astype(float), minlength=n_items)
    return ratio_bootstrap(part, whole, rng=rng, draws=_DRAWS)


def changes_of_scores(
    bridge: TransformerBridge,
    variants: list[Variant],
    test: tuple[list[ItemBatch], list[FunctionItem]],
    dense: SplitScores,
    ks: tuple[int, ...],
    own: RoutingSettings,
    fill: dict[str, Float[Tensor, " neurons"] | None],
) -> Float64[np.ndarray, "2 contestants effects 3"]:
    """Loss and accuracy of the MoEfied model minus those of the dense one, with 95% intervals."""
    contestants = contestants_of(own)
    found = np.empty((2, len(contestants), len(ks), 3))
    rng = np.random.default_rng([own.seed, 5])
    with progress("MoEfied models", total=len(contestants), unit="routers") as advance:
        for c, (name, router) in enumerate(contestants):
            for j, k in enumerate(ks):
                runs = [
                    split_scores(bridge, *test, _edits(bridge, variant, router, k, fill))
                    for variant in variants
                    if variant.name == name
                ]
                for m, field in enumerate(("loss", "accuracy")):
                    values = [getattr(run, field) for run in runs]
                    found[m, c, j] = _change(values, getattr(dense, field), name, rng)
            advance()
    return found


def _change(
    runs: list[Float64[np.ndarray, " items"]],
    dense: Float64[np.ndarray, " items"],
    name: str,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    answered = np.isfinite(dense)
    if name == "own":
        return paired_bootstrap(runs[0][answered], dense[answered], rng=rng, draws=_DRAWS)
    if not answered.any():
        return float("nan"), float("nan"), float("nan")
    return mean_and_range(np.array([float((run - dense)[answered].mean()) for run in runs]))


def _edits(
    bridge: TransformerBridge,
    variant: Variant,
    router: str,
    k: int,
    fill: dict[str, Float[Tensor, " neurons"] | None],
) -> list[Intervention]:
    reads = routers()[router].reads
    return [
        edit
        for site, partition in variant.partitions.items()
        for edit in moefied(
            bridge, partition, variant.scorers[router][site], reads=reads, k=k, fill=fill[site]
        )
    ]


def split_scores(
    bridge: TransformerBridge,
    batches: list[ItemBatch],
    items: list[FunctionItem],
    edits: list[Intervention],
) -> SplitScores:
    """How the model does on every item under some edits."""
    loss, accuracy = np.full(len(items), np.nan), np.full(len(items), np.nan)
    for batch in batches:
        accuracy[batch.item], loss[batch.item] = scored(bridge, batch, edits)
    answered = np.array([item.has_answer for item in items])
    return SplitScores(loss, np.where(answered, accuracy, np.nan))


def silent_share(variant: Variant, seen: TokenRows, site: str) -> float:
    """Share of tokens where no expert contributes anything."""
    return float((variant.measures[site](seen.at[site].h).sum(dim=1) <= 0).double().mean())
