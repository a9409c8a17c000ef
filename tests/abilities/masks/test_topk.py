import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from interp.abilities.streaming.topk import count_of_share, scores_of_arrays, top_entries
from interp.results.errors import BadInput

few_values = st.sampled_from([0.0, -0.0, 1e-45, -1.0, 1.0, 1.0000001, 3e38])
tensors = st.dictionaries(
    st.sampled_from("abcde"),
    hnp.arrays(np.float32, st.integers(0, 40), elements=few_values),
    min_size=1,
)


def by_sorting(arrays, k):
    """The chosen entries the plain way: a stable sort of everything, largest first."""
    flat = np.concatenate([np.abs(arrays[name]).reshape(-1) for name in sorted(arrays)])
    order = np.argsort(-flat, kind="stable")[:k]
    chosen = np.zeros(flat.size, bool)
    chosen[order] = True
    ends = np.cumsum([arrays[name].size for name in sorted(arrays)])
    parts = np.split(chosen, ends[:-1])
    return dict(zip(sorted(arrays), parts, strict=True))


def shapes_of(arrays):
    return {name: array.shape for name, array in arrays.items()}


@given(tensors, st.floats(0, 1), st.sampled_from([1, 3, 8, 1000]))
def test_the_streamed_choice_is_the_sorted_one_whatever_the_chunk(arrays, share, chunk):
    n = sum(array.size for array in arrays.values())
    k = count_of_share(n, share)
    chosen = top_entries(shapes_of(arrays), scores_of_arrays(arrays, chunk=chunk), k=k)
    for name, expected in by_sorting(arrays, k).items():
        np.testing.assert_array_equal(chosen.supports[name].dense(), expected)


def test_a_large_spread_choice_has_the_threshold_of_a_sort():
    rng = np.random.default_rng(0)
    arrays = {
        name: (rng.normal(size=50_000) * 10.0**scale).astype(np.float32)
        for scale, name in enumerate("abcd")
    }
    k = 10_000
    chosen = top_entries(shapes_of(arrays), scores_of_arrays(arrays), k=k)
    flat = np.sort(np.abs(np.concatenate(list(arrays.values()))))
    assert chosen.threshold == flat[-k]
    assert chosen.n_above + chosen.n_tied >= k
    assert sum(support.count for support in chosen.supports.values()) == k


@pytest.mark.parametrize("percent", [1, 5, 10, 50, 100])
@pytest.mark.parametrize("fill", [0.0, 2.5, None])
def test_the_count_is_the_share_rounded_down_also_among_equals(percent, fill):
    rng = np.random.default_rng(percent)
    arrays = {
        name: rng.random(777).astype(np.float32) if fill is None else np.full(777, fill, np.float32)
        for name in "ba"
    }
    k = count_of_share(1554, percent / 100)
    chosen = top_entries(shapes_of(arrays), scores_of_arrays(arrays), k=k)
    assert k == 1554 * percent // 100
    assert sum(support.count for support in chosen.supports.values()) == k
    if fill is not None:
        assert chosen.supports["a"].count == min(777, k)


def test_the_order_in_which_tensors_are_named_does_not_matter():
    arrays = {name: np.ones(5, np.float32) for name in "cab"}
    backwards = dict(reversed(arrays.items()))
    one = top_entries(shapes_of(arrays), scores_of_arrays(arrays), k=7)
    two = top_entries(shapes_of(backwards), scores_of_arrays(backwards), k=7)
    assert {n: s.count for n, s in one.supports.items()} == {"a": 5, "b": 2, "c": 0}
    assert {n: s.count for n, s in two.supports.items()} == {"a": 5, "b": 2, "c": 0}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_refused_by_tensor(bad):
    arrays = {"w": np.array([1.0, bad], np.float32)}
    with pytest.raises(BadInput, match="'w'"):
        top_entries({"w": (2,)}, scores_of_arrays(arrays), k=1)


def test_too_many_too_few_and_missing_scores_are_refused():
    scores = scores_of_arrays({"w": np.ones(3, np.float32)})
    for k in (-1, 4):
        with pytest.raises(BadInput, match="cannot choose"):
            top_entries({"w": (3,)}, scores, k=k)
    with pytest.raises(BadInput, match="every entry"):
        top_entries({"w": (4,)}, scores, k=1)
    with pytest.raises(BadInput, match="share"):
        count_of_share(10, 1.5)


def test_none_can_be_chosen():
    chosen = top_entries({"w": (3,)}, scores_of_arrays({"w": np.ones(3, np.float32)}), k=0)
    assert chosen.supports["w"].count == 0
    assert np.isnan(chosen.threshold)


def test_a_share_is_not_cut_short_by_its_own_rounding():
    assert count_of_share(100, 0.29) == 29
    assert count_of_share(222_912, 0.05) == 11_145
    assert count_of_share(3, 1.0) == 3
