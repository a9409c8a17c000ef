"""Which answers count as the same, declared and saved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.evaluation.normaliser import Normaliser
from interp.results.errors import CorruptFile


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("  Dot ", "dot"),
        ("two   words\n", "two words"),
        ("3 + 4 is 7\n#### 7\n\nQ: what is 2 + 2?", "7"),
        ("Answer: 7, no.\nanswer: 8", "8"),
        ("answer:\n 42", "42"),
        ("the answer: 5 #### 6", "6"),
        ("thinking about it. Answer:", ""),
        ("1,234.50", "1234.5"),
        ("$1,234", "1234"),
        ("-$5", "-5"),
        ("\u22125", "-5"),
        ("+7.", "7"),
        ("007", "7"),
        ("-0.00", "0"),
        (".5", "0.5"),
        ("100", "100"),
        ("\u0663\u0664", "34"),
        # Not numbers, or not numbers alone: they stay as they are.
        ("1,23", "1,23"),
        ("12 apples", "12 apples"),
        ("...", "..."),
        ("cafe\u0301", "caf\u00e9"),
        ("STRASSE", "strasse"),
        ("stra\u00dfe", "strasse"),
    ],
)
def test_an_answer_takes_one_form(said: str, answer: str) -> None:
    assert Normaliser()(said) == answer


def test_what_is_not_declared_is_not_done() -> None:
    bare = Normaliser(markers=(), strip=False, casefold=False, numbers=False)
    assert bare(" Answer: 1,000 ") == " Answer: 1,000 "
    assert Normaliser(casefold=False)("Answer: Dot") == "Answer: Dot"
    assert Normaliser(numbers=False)("1,000") == "1,000"


@given(st.text())
def test_normalising_twice_changes_nothing_where_no_marker_is_left(text: str) -> None:
    normaliser = Normaliser(markers=())
    assert normaliser(normaliser(text)) == normaliser(text)


@given(st.integers(-(10**9), 10**9), st.integers(0, 5))
def test_every_way_to_write_a_whole_number_is_one(number: int, zeros: int) -> None:
    written = {f"{number}", f"{number:,}", f"{number}." + "0" * zeros, f"{number:+}"}
    assert {Normaliser()(text) for text in written} == {str(number)}


def test_a_normaliser_is_saved_whole() -> None:
    one = Normaliser(markers=("so it is",), numbers=False)
    assert Normaliser.from_json(one.to_json()) == one
    with pytest.raises(CorruptFile, match="not a normaliser"):
        Normaliser.from_json({"markers": [], "colour": True})
