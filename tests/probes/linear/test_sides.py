"""The split: no group on two sides, the same however the store is read, pooled as numpy does."""

from pathlib import Path

import numpy as np
import pytest

from interp.capture.store import ActivationStore
from probes.linear import rows as reading
from probes.linear import sides
from probes.linear.sides import SIDES, Asked, parts
from tests.probes.linear.stores import written

N_DOCUMENTS, SITE = 60, "site"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    """Documents of 1 to 9 tokens; the first token of each is special, some have no label."""
    rng = np.random.default_rng(0)
    document = np.repeat(np.arange(N_DOCUMENTS), rng.integers(2, 10, N_DOCUMENTS))
    n = len(document)
    special = np.diff(document, prepend=-1) > 0
    labels = {
        "label": np.where(rng.random(n) < 0.1, -1, rng.integers(0, 2, n)),
        "topic": document % 7,
        "answer": document % 2,
    }
    path = tmp_path_factory.mktemp("sides") / "store"
    values = rng.standard_normal((n, 4))
    return written(path, {SITE: values}, labels, document=document, special=special)


def asked(**changes: object) -> Asked:
    settings: dict[str, object] = {
        "label": "label",
        "pool": "token",
        "group": "document",
        "split": None,
        "where": {},
        "max_rows": 10_000,
        "seed": 0,
    }
    return Asked(**{**settings, **changes})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("group", ["document", "topic"])
def test_no_group_is_on_two_sides_and_no_labelled_row_is_lost(
    store: ActivationStore, group: str
) -> None:
    dealt = parts(store, asked(group=group))
    column = store.column(group, 0, store.n_rows)
    of_side = [set(column[part.rows]) for part in dealt.values()]
    assert sum(map(len, of_side)) == len(set().union(*of_side))
    label = store.column("label", 0, store.n_rows)
    wanted = np.flatnonzero((label != -1) & ~store.column("is_special", 0, store.n_rows))
    np.testing.assert_array_equal(
        np.sort(np.concatenate([part.rows for part in dealt.values()])), wanted
    )
    for part in dealt.values():
        np.testing.assert_array_equal(part.codes, label[part.rows])
        # A group has one number, and a number one group.
        pairs = set(zip(column[part.rows].tolist(), part.groups.tolist(), strict=True))
        assert len(pairs) == len(set(column[part.rows])) == len(set(part.groups))


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_reading_in_small_chunks_deals_the_same_rows(
    store: ActivationStore, monkeypatch: pytest.MonkeyPatch, pool: str
) -> None:
    label = "label" if pool == "token" else "answer"
    whole = parts(store, asked(pool=pool, label=label))
    monkeypatch.setattr(sides, "_CHUNK", 7)
    chunked = parts(store, asked(pool=pool, label=label))
    for side in SIDES:
        for one, other in zip(whole[side], chunked[side], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("pool", "of"), [("mean", np.mean), ("max", np.max), ("last", lambda x, axis: x[-1])]
)
@pytest.mark.parametrize("at_once", [5, 10_000])
def test_pooling_is_what_numpy_gives_document_by_document(
    store: ActivationStore, monkeypatch: pytest.MonkeyPatch, pool, of, at_once: int
) -> None:
    monkeypatch.setattr(reading, "_READ_AT_ONCE", at_once)
    part = parts(store, asked(pool=pool, label="answer"))["train"]
    found = reading.read(store, SITE, part, pool)
    rows = store.rows(SITE, 0, store.n_rows)
    document = store.column("document", 0, store.n_rows)
    special = store.column("is_special", 0, store.n_rows)
    for unit, number in enumerate(part.types):
        kept = (document == number) & ~special
        np.testing.assert_allclose(found[unit], of(rows[kept], axis=0), rtol=1e-5, atol=1e-6)


def test_a_document_longer_than_the_budget_is_cut(tmp_path: Path) -> None:
    document = np.repeat(np.arange(3), 500)
    label = np.arange(1500) % 2
    store = written(
        tmp_path / "long", {SITE: np.zeros((1500, 1))}, {"label": label}, document=document
    )
    dealt = parts(store, asked(max_rows=100))
    assert {side: len(part.rows) for side, part in dealt.items()} == {
        "train": 60,
        "validation": 20,
        "test": 20,
    }
