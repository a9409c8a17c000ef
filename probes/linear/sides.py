"""Sides: which labelled rows of a store train, validate and test, dealt by group in a budget."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from interp.capture.store import ActivationStore
from interp.results.errors import BadInput

Pool = Literal["token", "mean", "max", "last"]
"""What a row of the probe is: a token, or its document's labelled tokens pooled."""
SIDES = ("train", "validation", "test")
SHARES = (0.6, 0.2, 0.2)
_CHUNK = 1 << 20
_SideOf = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which rows are meant, before any is looked at."""

    label: str
    pool: Pool
    group: str
    """Column whose equal values stay on one side, and are drawn together by the bootstrap."""
    split: str | None
    """Column that says `train`, `validation` and `test`; None to draw the sides by the seed."""
    where: dict[str, str]
    """Column -> the one value of it that counts."""
    max_rows: int
    seed: int


class Part(NamedTuple):
    """One side: the rows of the store it reads, and the labels of what they are pooled into."""

    rows: Int[np.ndarray, " rows"]
    unit_of: Int[np.ndarray, " rows"]
    codes: Int[np.ndarray, " units"]
    types: Int[np.ndarray, " units"]
    """Token of a row, or document where tokens are pooled: what a control label belongs to."""
    groups: Int[np.ndarray, " units"]
    """Numbered from 0 in the order of the draw, which is random."""


class _Columns(NamedTuple):
    """What is known of the labelled rows of a chunk."""

    row: Int[np.ndarray, " rows"]
    code: Int[np.ndarray, " rows"]
    group: Int[np.ndarray, " rows"]
    document: Int[np.ndarray, " rows"]
    token: Int[np.ndarray, " rows"]
    side: Int[np.ndarray, " rows"]
    """Place in SIDES as the split column says, 0 without one."""


def parts(store: ActivationStore, asked: Asked) -> dict[str, Part]:
    """The three sides, by name; groups were dealt to them before any activation was read.

    Memory is bounded by the number of groups and by `max_rows`, not by the rows of the store.
    """
    _check(store, asked)
    groups, sizes, sides = _groups(store, asked)
    dealt = _deal(groups, sizes, sides, asked)
    collected: dict[str, list[_Columns]] = {side: [] for side in SIDES}
    for columns in _labelled(store, asked):
        for side, (mine, _) in dealt.items():
            kept = np.isin(columns.group, mine)
            if kept.any():
                collected[side].append(_Columns(*(column[kept] for column in columns)))
    return {side: _part(collected[side], *dealt[side], asked) for side in SIDES}


def _check(store: ActivationStore, asked: Asked) -> None:
    columns = (asked.label, asked.group, *asked.where, *([asked.split] if asked.split else []))
    for name in columns:
        dtype = store.header.columns.get(name)
        if dtype is None:
            raise BadInput(f"{store.path} has no column {name!r}: {', '.join(store.columns)}")
        if np.dtype(dtype).kind == "f":
            raise BadInput(
                f"column {name!r} holds fractions: expected integers or names of classes"
            )
    if asked.max_rows < 10:
        raise BadInput(f"{asked.max_rows} rows at most: a probe needs at least 10")


def _labelled(store: ActivationStore, asked: Asked) -> Iterator[_Columns]:
    """The rows that count, chunk by chunk: labelled, no special token, `where` fulfilled."""
    wanted = {name: _code_of(store, name, value) for name, value in asked.where.items()}
    side_of = None if asked.split is None else _sides_of(store, asked.split)
    for start in range(0, store.n_rows, _CHUNK):
        stop = min(start + _CHUNK, store.n_rows)
        code = store.column(asked.label, start, stop).astype(np.int64)
        kept = (code != -1) & ~store.column("is_special", start, stop)
        for name, value in wanted.items():
            kept &= store.column(name, start, stop) == value
        side = np.zeros(stop - start, np.int64)
        if side_of is not None and asked.split is not None:
            side = side_of(store.column(asked.split, start, stop), kept)
        chunk = _Columns(
            row=np.arange(start, stop),
            code=code,
            group=store.column(asked.group, start, stop),
            document=store.column("document", start, stop),
            token=store.column("token", start, stop),
            side=side,
        )
        yield _Columns(*(column[kept] for column in chunk))


def _code_of(store: ActivationStore, name: str, value: str) -> int:
    values = store.label_values(name)
    if values is not None:
        if value not in values:
            raise BadInput(f"{name} is never {value!r}: it is {', '.join(values[:12])}")
        return values.index(value)
    if not value.lstrip("-").isdigit():
        raise BadInput(f"{name}={value}: the column holds integers")
    return int(value)


def _sides_of(store: ActivationStore, name: str) -> _SideOf:
    values = store.label_values(name)
    if values is None or not {"train", "test"} <= set(values) <= set(SIDES):
        found = "integers" if values is None else ", ".join(values)
        raise BadInput(
            f"column {name!r} holds {found}: a split says train and test, and may say validation"
        )
    place = np.array([SIDES.index(value) for value in values])

    def side(codes: Int[np.ndarray, " rows"], kept: Bool[np.ndarray, " rows"]) -> np.ndarray:
        if (codes[kept] == -1).any():
            raise BadInput(f"rows of the label have no {name!r}: every one must be on a side")
        return place[np.where(kept, codes, 0)]

    return side


def _groups(store: ActivationStore, asked: Asked) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every group with its rows (or documents, where they are pooled) and its side."""
    found = np.zeros((0, 3), np.int64)
    counts = np.zeros(0, np.int64)
    for columns in _labelled(store, asked):
        unit = columns.document if asked.pool != "token" else np.zeros_like(columns.group)
        keys = np.stack([columns.group, columns.side, unit], axis=1)
        unique, n = np.unique(keys, axis=0, return_counts=True)
        found, place = np.unique(np.concatenate([found, unique]), axis=0, return_inverse=True)
        counts = np.bincount(place.ravel(), np.concatenate([counts, n])).astype(np.int64)
    units = counts if asked.pool == "token" else np.ones_like(counts)
    if not len(found):
        raise BadInput(f"{store.path}: no row has label {asked.label!r} and what else was asked")
    pairs, place = np.unique(found[:, :2], axis=0, return_inverse=True)
    sizes = np.bincount(place.ravel(), units).astype(np.int64)
    groups, n_sides = np.unique(pairs[:, 0], return_counts=True)
    if (n_sides > 1).any():
        raise BadInput(
            f"{asked.group} {groups[n_sides > 1][0]} is on two sides of {asked.split!r}: give "
            "--group a column whose values are on one side each"
        )
    return groups, sizes, pairs[:, 1]


def _deal(
    groups: np.ndarray, sizes: np.ndarray, sides: np.ndarray, asked: Asked
) -> dict[str, tuple[np.ndarray, int]]:
    """For each side its groups in random order, cut at the budget, and the budget."""
    order = np.random.default_rng([asked.seed, 0]).permutation(len(groups))
    if asked.split is None:
        held_out = max(round(SHARES[1] * len(order)), 1)
        piles = np.split(order, [max(len(order) - 2 * held_out, 0), len(order) - held_out])
    else:
        piles = [order[sides[order] == i] for i in range(3)]
        if not len(piles[1]):
            cut = len(piles[0]) - max(len(piles[0]) // 4, 1)
            piles[:2] = [piles[0][:cut], piles[0][cut:]]
    if min(map(len, piles)) == 0:
        raise BadInput(
            f"label {asked.label!r} is on {len(groups)} values of {asked.group!r}: too few to "
            "train, validate and test on different ones"
        )
    dealt: dict[str, tuple[np.ndarray, int]] = {}
    for side, share, pile in zip(SIDES, SHARES, piles, strict=True):
        budget = max(int(share * asked.max_rows), 1)
        n = max(int(np.searchsorted(np.cumsum(sizes[pile]), budget, side="right")), 1)
        dealt[side] = (groups[pile[:n]], budget)
    return dealt


def _part(collected: list[_Columns], mine: np.ndarray, budget: int, asked: Asked) -> Part:
    columns = _Columns(*(np.concatenate(pieces) for pieces in zip(*collected, strict=True)))
    by_value = np.argsort(mine)
    group = by_value[np.searchsorted(mine, columns.group, sorter=by_value)]
    if asked.pool == "token":
        columns, group = _Columns(*(column[:budget] for column in columns)), group[:budget]
        return Part(columns.row, np.arange(len(group)), columns.code, columns.token, group)
    documents, first, unit = np.unique(columns.document, return_index=True, return_inverse=True)
    codes = columns.code[first]
    if (codes[unit] != columns.code).any():
        odd = documents[unit[(codes[unit] != columns.code).argmax()]]
        raise BadInput(
            f"label {asked.label!r} varies within document {odd}: it belongs to tokens; use --pool "
            "token"
        )
    return Part(columns.row, unit, codes, documents, group[first])
