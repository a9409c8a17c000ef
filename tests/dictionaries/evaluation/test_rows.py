"""Which rows are evaluated: whole sequences, none fitted on, special tokens out, NaN refused."""

import numpy as np
import pytest
import torch

from interp.capture import record
from interp.capture.store import ActivationStore
from interp.dictionaries.evaluation.rows import RowReader, split_rows
from interp.results.errors import BadInput
from tests.dictionaries.evaluation.conftest import LENGTH, SITE, SITE_OUT, corpus_of


def reader(store: ActivationStore, *, specials: bool = False) -> RowReader:
    return RowReader(
        store=store, site=SITE, site_out=SITE, specials=specials, device=torch.device("cpu")
    )


def rows_of(spans) -> set[int]:
    return {row for start, stop in spans for row in range(start, stop)}


@pytest.mark.parametrize("n_tokens", [1, 100, 400, 10**9])
@pytest.mark.parametrize("seed", range(3))
def test_no_sequence_is_both_evaluated_and_fitted(store, n_tokens: int, seed: int) -> None:
    split = split_rows(store, n_tokens=n_tokens, rng=np.random.default_rng(seed))
    sequence = store.column("sequence", 0, store.n_rows)
    evaluated, fitted = (
        {int(sequence[row]) for row in rows_of(spans)} for spans in (split.evaluated, split.fitted)
    )
    assert evaluated
    assert fitted
    assert not evaluated & fitted
    assert len(rows_of(split.evaluated)) <= n_tokens
    # At least a fifth is kept for the fit, up to a block.
    assert len(rows_of(split.fitted)) >= 0.2 * store.n_rows - LENGTH * 2


def test_a_split_depends_on_its_seed_alone(store) -> None:
    one, same, other = (
        split_rows(store, n_tokens=200, rng=np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert one == same
    assert one != other


def test_batches_of_any_size_hand_out_the_rows_once_in_order(store) -> None:
    expected = store.rows(SITE, 12, 60)
    for size in (1, 7, 1000):
        batches = list(reader(store).batches([(12, 60)], batch_size=size))
        np.testing.assert_array_equal(torch.cat([b.source for b in batches]), expected)


def test_special_tokens_and_padding_are_no_rows(bridge, tmp_path) -> None:
    store = record(
        bridge, corpus_of(6, bos=True, padded=True), [SITE], tmp_path / "s", max_tokens=99
    )
    sizes = [
        sum(len(b.source) for b in reader(store, specials=specials).batches(
            [(0, store.n_rows)], batch_size=10))
        for specials in (False, True)
    ]  # fmt: skip
    assert sizes == [store.n_rows - 6, store.n_rows]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_refused_with_its_site_and_row(
    store, monkeypatch, value: float
) -> None:
    """As a bfloat16 overflow would leave it."""
    whole = ActivationStore.rows

    def poisoned(self: ActivationStore, site: str, start: int, stop: int) -> np.ndarray:
        rows = whole(self, site, start, stop).copy()
        if start <= 31 < stop:
            rows[31 - start, 3] = value
        return rows

    monkeypatch.setattr(ActivationStore, "rows", poisoned)
    with pytest.raises(BadInput, match=rf"{SITE} is {value} in row 31, unit 3"):
        list(reader(store).batches([(0, 60)], batch_size=7))


def test_a_store_of_one_sequence_cannot_be_split(bridge, tmp_path) -> None:
    one = record(bridge, corpus_of(1), [SITE, SITE_OUT], tmp_path / "one", max_tokens=99)
    with pytest.raises(BadInput, match="needs two"):
        split_rows(one, n_tokens=5, rng=np.random.default_rng(0))
