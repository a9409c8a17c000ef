import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from interp.abilities.masks.support import BitmapWriter, Support, checked_support
from interp.results.errors import CorruptFile

masks = hnp.arrays(bool, hnp.array_shapes(max_dims=3, max_side=40)) | st.builds(
    lambda n, at: np.isin(np.arange(n), at), st.integers(0, 300), st.lists(st.integers(0, 300))
)


@given(masks)
def test_packing_and_unpacking_is_the_identity(mask):
    support = Support.from_dense(mask)
    np.testing.assert_array_equal(support.dense(), mask)
    assert support.count == mask.sum()
    assert support.encoding == ("bitmap" if mask.sum() >= mask.size / 32 else "index")


@given(masks, st.integers(0, 300), st.integers(0, 300))
def test_any_window_holds_the_entries_that_lie_in_it(mask, a, b):
    start, stop = sorted((min(a, mask.size), min(b, mask.size)))
    for support in (Support.from_dense(mask), bitmap_of(mask)):
        window = support.positions(start, stop)
        np.testing.assert_array_equal(window, np.flatnonzero(mask.reshape(-1)[start:stop]))


@given(masks, st.sampled_from([1, 3, 8, 16, 1000]))
def test_the_counts_of_any_chunks_are_those_of_the_windows(mask, chunk):
    flat = mask.reshape(-1)
    expected = [flat[at : at + chunk].sum() for at in range(0, flat.size, chunk)]
    for support in (Support.from_dense(mask), bitmap_of(mask)):
        assert support.counts(chunk).tolist() == expected


@given(masks, st.lists(st.integers(0, 300)))
def test_a_bitmap_written_in_pieces_is_the_whole_one(mask, cuts):
    writer = BitmapWriter(mask.size)
    for piece in np.split(mask.reshape(-1), sorted(min(cut, mask.size) for cut in cuts)):
        writer.append(piece)
    np.testing.assert_array_equal(writer.bits, bitmap_of(mask).data)


def bitmap_of(mask):
    bits = np.packbits(mask.reshape(-1), bitorder="little")
    return Support(shape=mask.shape, encoding="bitmap", data=bits, count=int(mask.sum()))


def test_everything_needs_no_data():
    support = Support.everything((3, 5))
    assert support.dense().all()
    assert support.data.size == 0
    assert support.counts(4).tolist() == [4, 4, 4, 3]
    np.testing.assert_array_equal(support.positions(4, 6), [0, 1])


def test_the_first_entry_is_the_lowest_bit():
    support = Support.from_dense(np.array([True] + [False] * 7 + [True]))
    assert support.data.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("encoding", "data", "count"),
    [
        ("bitmap", np.array([1, 2], np.uint8), 2),
        ("bitmap", np.array([3], np.uint8), 3),
        ("bitmap", np.array([0x81], np.uint8), 2),
        ("index", np.array([0, 5], np.uint32), 2),
        ("index", np.array([2, 1], np.uint32), 2),
        ("index", np.array([1, 1], np.uint32), 2),
        ("index", np.array([1, 2], np.uint32), 3),
        ("index", np.array([1, 2], np.int64), 2),
        ("all", np.empty(0, np.uint8), 4),
    ],
)
def test_data_that_do_not_hold_what_they_claim_are_refused(encoding, data, count):
    with pytest.raises(CorruptFile, match="'w'"):
        checked_support(name="w", shape=(5,), encoding=encoding, data=data, count=count)
