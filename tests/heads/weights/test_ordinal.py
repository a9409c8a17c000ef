"""Ordinal classes under a vocabulary, and successor scores of heads whose answer is known."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from interp.heads.weights.ordinal import OrdinalClass, from_members, ordinal_classes, read_classes
from interp.heads.weights.successor import best_members, order_shares, permuted_shares
from interp.results.errors import BadInput


def lookup(*words: str) -> Callable[[str], int | None]:
    return lambda word: words.index(word) + 100 if word in words else None


def class_of(members: str, *, cyclic: bool = False) -> OrdinalClass:
    one = from_members("letters", members, cyclic=cyclic, token=lookup(*members))
    assert one is not None
    return one


def test_a_member_of_several_tokens_leaves_a_gap_and_no_step_over_it() -> None:
    one = from_members("abc", "abcdef", cyclic=True, token=lookup(*"abdef"))
    assert one is not None
    steps = [(one.tokens[i] - 100, one.tokens[j] - 100) for i, j in one.pairs]
    assert steps == [(0, 1), (2, 3), (3, 4), (4, 0)]
    assert one.n_members == 6


def test_standard_classes_are_those_the_vocabulary_holds() -> None:
    days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    found = ordinal_classes(lookup(*days, "one", "two"))
    assert [one.name for one in found] == ["days"]
    assert len(found[0].pairs) == 7
    assert ordinal_classes(lookup()) == ()


def test_a_class_from_a_file_holds_words_or_ids(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    path.write_text(json.dumps({"names": ["a", "b", "c"], "ids": {"members": [7, 9, 8, 4]}}))
    names, ids = ordinal_classes(lookup(*"abc"), path, d_vocab=10)
    assert names.tokens.tolist() == [100, 101, 102]
    assert ids.tokens.tolist() == [7, 9, 8, 4] and ids.pairs.tolist() == [[0, 1], [1, 2], [2, 3]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "expected an object"),
        ('{"a": 3}', "'a' is no list"),
        ('{"a": {"members": ["x"], "cyclic": "yes"}}', "'a' is no list"),
        ('{"a": ["x", "y", "z"]}', "class 'a'"),
        ('{"a": [1, 2, 77]}', "token 77"),
    ],
)
def test_a_bad_class_file_is_refused_by_name(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "classes.json"
    path.write_text(content)
    with pytest.raises(BadInput, match=message):
        ordinal_classes(lookup(), path, d_vocab=10)


def test_a_missing_class_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no file"):
        read_classes(tmp_path / "none.json")


def test_a_shift_is_a_successor_the_identity_a_copy_and_its_inverse_a_predecessor() -> None:
    circle = class_of("abcdefg", cyclic=True)
    shift = np.roll(np.eye(7), 1, axis=1)
    best = best_members(np.stack([shift, np.eye(7), shift.T, np.zeros((7, 7))]))
    shares = order_shares(best, circle)
    np.testing.assert_array_equal(shares.successor, [1, 0, 0, 0])
    np.testing.assert_array_equal(shares.identity, [0, 1, 0, 0])
    np.testing.assert_array_equal(shares.predecessor, [0, 0, 1, 0])


def test_the_last_of_a_line_has_no_successor_and_is_not_counted() -> None:
    line = class_of("abcd")
    shift = np.eye(4, k=1)
    shift[3, 0] = 1
    assert order_shares(best_members(shift[None]), line).successor == [1.0]


def test_random_orders_give_chance() -> None:
    """A member that is not itself follows by chance in 1 of n - 1 orders; itself it never does."""
    line, rng = class_of("abcdefgh"), np.random.default_rng(0)
    shift = np.roll(np.arange(8), -1)
    draws = permuted_shares(np.stack([shift, np.arange(8)]), line, draws=4000, rng=rng)
    assert abs(draws[:, 0].mean() - 1 / 7) < 0.01
    assert (draws[:, 1] == 0).all()


def test_the_true_order_is_one_of_the_orders_drawn() -> None:
    line, rng = class_of("abc"), np.random.default_rng(0)
    draws = permuted_shares(np.array([[1, 2, 0]]), line, draws=600, rng=rng)
    assert abs((draws[:, 0] == 1).mean() - 1 / 2) < 0.06  # abc, bca and cab of six orders
