"""What single heads do: every one to first order, and some exactly."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.relations.corpus import RelationCorpus
from interp.heads.ablation.asking import AskedBatch
from interp.heads.ablation.corrupting import Side
from interp.heads.ablation.events import Events
from interp.heads.ablation.grouping import Ablator, Condition
from interp.heads.ablation.patching import (
    Corrupted,
    attributed_drops,
    corrupt,
    corrupted_margins,
    patched_margins,
)
from interp.heads.ablation.statistics import Sequences, Totals, with_ends
from interp.heads.columns import Head

Ended = Float[np.ndarray, "*any columns 3"]


class Corruption(NamedTuple):
    """One side's corruption, with the events it concerns and what those lose."""

    corrupted: Corrupted
    events: Events
    sequences: Sequences
    times: Float[np.ndarray, "draws documents"]
    drop: Float[np.ndarray, "columns 3"]


def corruption_of(
    bridge: TransformerBridge,
    corpus: RelationCorpus,
    events: Events,
    batches: Sequence[AskedBatch],
    margin: Float[np.ndarray, " events"],
    *,
    side: Side,
    seed: int,
    bootstrap: int,
) -> Corruption | None:
    """How much the margin loses on corrupted text; None where no event is concerned."""
    corrupted = corrupt(corpus, events, batches, side=side, seed=seed)
    if not corrupted.concerned.any():
        return None
    concerned = events.only(corrupted.concerned)
    sequences = Sequences(corpus, concerned)
    lost = (margin - corrupted_margins(bridge, batches, corrupted))[corrupted.concerned]
    times = sequences.resamples(bootstrap, np.random.default_rng([seed, 19]))
    drop = _ended(sequences.totals(lost), times)
    return Corruption(corrupted, concerned, sequences, times, drop)


def stronger(found: Iterable[Corruption | None]) -> Corruption | None:
    """The corruption that costs the margin most over all relations."""
    there = [one for one in found if one is not None]
    return max(there, key=lambda one: one.drop[0, 0], default=None)


def attributed(
    bridge: TransformerBridge,
    corpus: RelationCorpus,
    batches: Sequence[AskedBatch],
    corruption: Corruption,
    *,
    advance: Callable[[int], None],
) -> Ended:
    """First-order drops of the margin [layers, heads, columns, 3]."""
    concerned, events = corruption.corrupted.concerned, corruption.events
    relation = np.full(len(concerned), -1)
    relation[concerned] = events.relation
    weight = np.zeros(len(concerned))
    weight[concerned] = events.relation_weight
    n = len(corpus.relations)
    own = (relation == np.arange(n)[:, None]) * weight
    drops = attributed_drops(
        bridge, batches, corruption.corrupted, [own[:, b.events] for b in batches], advance
    )
    order = np.concatenate([batch.sequences for batch in batches])
    return _ended(_by_document(drops, order, corpus, corruption), corruption.times)


def _by_document(
    drops: Float[np.ndarray, "relations sequences layers heads"],
    order: np.ndarray,
    corpus: RelationCorpus,
    corruption: Corruption,
) -> Totals:
    """Sums over documents; a sequence's value over all is that of its relations, weighted."""
    events, sequences = corruption.events, corruption.sequences
    share = np.zeros((len(drops), len(corpus.sequences)))
    np.add.at(share, (events.relation, events.sequence), events.weight)
    every = np.einsum("rslh,rs->slh", drops, share[:, order])
    columns = np.concatenate([every[None], drops])
    own = np.array([corpus.sequences[i].document for i in order])
    there = np.isin(own, sequences.documents)
    place = np.searchsorted(sequences.documents, own[there])
    sums = np.zeros((len(sequences.documents), len(columns), *drops.shape[2:]))
    np.add.at(sums, place, np.moveaxis(columns, 0, 1)[there])
    return Totals(np.transpose(sums, (2, 3, 0, 1)), sequences.counts)


def patched(
    bridge: TransformerBridge,
    batches: Sequence[AskedBatch],
    corruption: Corruption,
    heads: Sequence[Head],
    margin: Float[np.ndarray, " events"],
    *,
    advance: Callable[[int], None],
) -> Ended:
    """Exact drops of the margin [heads, columns, 3]."""
    after = patched_margins(bridge, batches, corruption.corrupted, heads, advance)
    lost = (margin - after)[:, corruption.corrupted.concerned]
    return _ended(corruption.sequences.totals(lost), corruption.times)


def ablated(
    ablator: Ablator,
    heads: Sequence[Head],
    condition: Condition,
    *,
    sequences: Sequences,
    times: Float[np.ndarray, "draws documents"],
) -> Ended:
    """What replacing one head after another costs the margin [heads, columns, 3]."""
    lost = np.stack([ablator.damage([head], condition)[0] for head in heads])
    return _ended(sequences.totals(lost), times)


def to_try(
    first_order: Float[np.ndarray, "layers heads"],
    *,
    exact: int,
    also: Sequence[Head],
    rng: np.random.Generator,
) -> list[Head]:
    """The `exact` heads of the largest first-order effect, as many random others, and `also`."""
    order = np.argsort(-np.abs(np.nan_to_num(first_order)).ravel(), kind="stable")
    chosen = [*order[:exact], *rng.permutation(order[exact:])[:exact]]
    n_heads = first_order.shape[1]
    return sorted({Head(*divmod(int(i), n_heads)) for i in chosen} | set(also))


def on_grid(
    values: Ended, heads: Sequence[Head], shape: tuple[int, int], n_columns: int
) -> Float[np.ndarray, "layers heads columns 3"]:
    """Values of some heads in an array of all; the others NaN."""
    grid = np.full((*shape, n_columns, 3), np.nan)
    for head, value in zip(heads, values, strict=True):
        grid[head] = value
    return grid


def nothing(shape: tuple[int, int], n_columns: int) -> Float[np.ndarray, "layers heads columns 3"]:
    """No effect known of any head."""
    return np.full((*shape, n_columns, 3), np.nan)


def _ended(totals: Totals, times: Float[np.ndarray, "draws documents"]) -> Ended:
    value, flat = totals.mean(), totals.sums.reshape(-1, *totals.sums.shape[-2:])
    # One at a time: all draws of all heads at once would be many times the answer.
    ends = [
        with_ends(one.mean(), one.drawn(times))
        for one in (Totals(sums, totals.counts) for sums in flat)
    ]
    return np.stack(ends).reshape(*value.shape, 3)
