from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from probes.polyglot.languages import (
    ABILITY,
    GENERAL,
    LANGUAGES,
    N_NUMBERS,
    NUMBERS,
    OPERATIONS,
    TAGS,
    WORDS,
    line_ids,
    text,
    truth,
)
from probes.polyglot.mixtures import Mixture, draw_lines

NAMED = {
    "first": lambda x, y: x,
    "second": lambda x, y: y,
    "next": lambda x, y: x + 1,
    "prev": lambda x, y: y - 1,
    "max": max,
    "min": min,
    "plus": lambda x, y: x + y,
    "minus": lambda x, y: x - y,
}


def read(line: str) -> tuple[str, int, int, str, int]:
    """A line of text, read word by word by looking each up in the word lists."""
    number = {
        word: (language, n) for language in NUMBERS for n, word in enumerate(NUMBERS[language])
    }
    x, y, operation, tag, z = line.split()
    assert number[z][0] == tag.removeprefix("->")
    return operation, number[x][1], number[y][1], number[z][0], number[z][1]


def test_no_word_is_said_twice():
    assert len(set(WORDS)) == len(WORDS)
    for one, other in combinations(LANGUAGES, 2):
        assert not set(NUMBERS[one]) & set(NUMBERS[other])
    assert all(len(NUMBERS[language]) == N_NUMBERS for language in LANGUAGES)
    assert len(WORDS) == 2 + 5 * 11 + 12 + 1 + 5
    assert TAGS == ("->A", "->B", "->C", "->D", "->E")


def test_named_operations_are_what_their_names_say_modulo_eleven():
    for name, compute in NAMED.items():
        table = truth()[OPERATIONS.index(name)]
        for x in range(N_NUMBERS):
            for y in range(N_NUMBERS):
                assert table[x, y] == compute(x, y) % N_NUMBERS, (name, x, y)


def test_the_drawn_tables_never_change():
    drawn = {name: truth()[OPERATIONS.index(name), 0].tolist() for name in ("tarn", ABILITY)}
    assert drawn == {
        "tarn": [0, 7, 6, 0, 9, 2, 2, 2, 3, 1, 3],
        "zorn": [5, 0, 7, 1, 6, 1, 2, 6, 6, 4, 3],
    }


def test_the_ability_is_no_general_operation():
    ability = truth()[OPERATIONS.index(ABILITY)]
    agreement = [(truth()[n] == ability).mean() for n in range(len(GENERAL))]
    assert max(agreement) < 0.25
    assert np.bincount(ability.ravel(), minlength=N_NUMBERS).max() <= 20


@given(seed=st.integers(0, 10_000), code_mixing=st.sampled_from([0.0, 0.3, 1.0]))
def test_every_line_says_what_the_tables_say(seed: int, code_mixing: float):
    mixture = Mixture(languages=(0.2, 0.2, 0.2, 0.2, 0.2), code_mixing=code_mixing, ability=0.5)
    for line in text(draw_lines(mixture, 20, np.random.default_rng(seed))):
        operation, x, y, _, z = read(line)
        assert z == truth()[OPERATIONS.index(operation), x, y]


def test_a_line_without_code_mixing_stays_in_one_language():
    mixture = Mixture(languages=(0.2, 0.2, 0.2, 0.2, 0.2), code_mixing=0.0, ability=0.0)
    for line in text(draw_lines(mixture, 200, np.random.default_rng(0))):
        x, y, _, tag, z = line.split()
        assert {x, y, z} <= set(NUMBERS[tag.removeprefix("->")])


def test_shares_of_a_mixture_are_those_asked_for():
    mixture = Mixture(languages=(0.4, 0.3, 0.3, 0.0, 0.0), code_mixing=0.3, ability=0.25)
    lines = [line.split() for line in text(draw_lines(mixture, 20_000, np.random.default_rng(1)))]
    tags = [line[3] for line in lines]
    shares = [tags.count(tag) / len(tags) for tag in TAGS]
    np.testing.assert_allclose(shares, mixture.languages, atol=0.02)
    assert abs(np.mean([line[2] == ABILITY for line in lines]) - 0.25) < 0.02
    differs = np.mean([not said_in_one(line) for line in lines])
    expected = 0.3 * (1 - sum(share**3 for share in mixture.languages))
    assert abs(differs - expected) < 0.02


def said_in_one(line: list[str]) -> bool:
    return any({line[0], line[1], line[4]} <= set(NUMBERS[language]) for language in LANGUAGES)


def test_ids_are_places_in_the_word_list():
    one = np.array([3])
    ids = line_ids(x=one, y=one + 4, operation=one * 0, languages=np.array([[0, 1, 3]]))
    assert text(ids) == ["gul nevu first ->D guan"]


def test_the_second_ability_is_arithmetic_and_changes_nothing_else():
    table, arithmetic = truth(), truth("arithmetic")
    x, y = np.meshgrid(np.arange(11), np.arange(11), indexing="ij")
    assert (arithmetic[-1] == (2 * x + 3 * y) % 11).all()
    assert (arithmetic[:-1] == table[:-1]).all()
    agreement = (arithmetic == arithmetic[-1]).mean((1, 2))[:-1]
    assert agreement.max() < 0.2
