from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.abilities.allo.edits import CHANGED, KEPT, edit_distance, edit_steps, edit_weights

TEXT = st.lists(st.integers(0, 3), max_size=7)


def brute_distance(before: list[int], after: list[int]) -> int:
    @cache
    def distance(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        same = before[i - 1] == after[j - 1]
        ways = (distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + (not same))
        return min(ways)

    return distance(len(before), len(after))


@given(TEXT, TEXT)
def test_the_distance_is_that_of_the_recursion(before, after):
    assert edit_distance(before, after) == brute_distance(before, after)


@given(TEXT, TEXT)
def test_the_steps_and_what_they_leave_of_one_text_cost_the_distance(before, after):
    steps = edit_steps(before, after)
    edits = sum(step.kind != "match" for step in steps)
    used = {kind: sum(step.kind == kind for step in steps) for kind in ("delete", "insert")}
    left = (len(before) - len(steps) + used["insert"]) + (len(after) - len(steps) + used["delete"])
    assert edits + left == edit_distance(before, after)


@given(TEXT, TEXT)
def test_matches_join_equal_tokens_and_substitutions_unequal_ones(before, after):
    for step in edit_steps(before, after):
        if step.kind in ("match", "substitute"):
            assert (before[step.prediction] == after[step.rewrite]) == (step.kind == "match")


@given(TEXT)
def test_an_identical_rewrite_weighs_a_half_everywhere(text):
    assert edit_weights(text, text) == [KEPT] * len(text)


def test_a_substitution_marks_one_token():
    assert edit_weights([1, 2, 3], [1, 9, 3]) == [KEPT, CHANGED, KEPT]


def test_an_inserted_token_in_the_middle_is_marked():
    assert edit_weights([1, 2, 3], [1, 2, 9, 3]) == [KEPT, KEPT, CHANGED, KEPT]


def test_leading_insertions_keep_a_half_because_the_trace_stops_there():
    assert edit_weights([1, 2], [8, 9, 1, 2]) == [KEPT] * 4


def test_a_deletion_marks_nothing():
    assert edit_weights([1, 7, 2], [1, 2]) == [KEPT] * 2


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        # All three ways cost 2 at the end of both; the trace ends before the leading 2 is inserted.
        ([1, 2], [2, 1], ["match", "delete"]),
        ([1, 2, 3], [1, 9, 3], ["match", "substitute", "match"]),
        ([1, 5, 6, 2], [1, 9, 2], ["match", "substitute", "delete", "match"]),
        ([1, 5, 2], [1, 8, 9, 2], ["match", "substitute", "insert", "match"]),
    ],
)
def test_ties_go_to_deletion_then_insertion_then_substitution(before, after, kinds):
    assert [step.kind for step in edit_steps(before, after)] == kinds
