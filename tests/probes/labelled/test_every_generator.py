"""What every kind of labelled function promises: distinct, balanced, repeatable, split by item."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from probes.labelled import LabelledLine, TokenLine, generators, leaks
from probes.labelled.line import write_lines

NAMES = [name for name, generator in generators().items() if not generator.file_required]
OF_TEXTS = [name for name in NAMES if generators()[name].kind != "token class"]


def lines(name: str, *, seed: int = 0, n: int = 120):
    return generators()[name].make(seed, n, None)


def texts(name: str) -> list[LabelledLine]:
    return [line for line in lines(name) if isinstance(line, LabelledLine)]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_makes_the_same_bytes_and_another_seed_others(
    name: str, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{i}.jsonl" for i in range(3)]
    for path, seed in zip(paths, (4, 4, 5), strict=True):
        write_lines(path, lines(name, seed=seed))
    first, again, other = (path.read_bytes() for path in paths)
    assert first == again != other


@pytest.mark.parametrize("name", NAMES)
def test_every_text_is_another_and_a_third_is_for_the_test(name: str) -> None:
    made = lines(name)
    assert len({line.text for line in made}) == len(made)
    share = sum(line.split == "test" for line in made) / len(made)
    assert 0.3 < share < 0.37


@pytest.mark.parametrize("name", OF_TEXTS)
def test_labels_are_even_in_every_subfunction_and_on_either_side(name: str) -> None:
    made = texts(name)
    counts = Counter((line.subfunction, line.split, line.label) for line in made)
    for (subfunction, split, label), n in counts.items():
        assert counts[subfunction, split, 1 - label] == n
        # A draw of facts of which most have one object leaves some out.
        assert 0.9 < n / (80 if split == "train" else 40) <= 1
    assert {line.subfunction for line in made} == set(generators()[name].functions)


@pytest.mark.parametrize("name", NAMES)
def test_no_item_is_on_both_sides_whatever_the_seeds(name: str) -> None:
    sides: dict[tuple[str, str], set[str]] = defaultdict(set)
    for seed in (0, 1):
        for line in lines(name, seed=seed):
            group = line.subfunction if isinstance(line, LabelledLine) else ""
            for item in line.item.split("+"):
                sides[group, item].add(line.split)
    assert all(len(where) == 1 for where in sides.values())


@pytest.mark.parametrize("name", OF_TEXTS)
def test_the_span_is_a_word_of_the_text(name: str) -> None:
    for line in texts(name):
        start, stop = line.span
        word = line.text[start:stop]
        assert word and word == word.strip()
        assert not line.text[stop].isalnum()
        assert start == 0 or not line.text[start - 1].isalnum()


@pytest.mark.parametrize("name", OF_TEXTS)
def test_a_bag_of_words_is_at_chance_on_new_items(name: str) -> None:
    for leak in leaks(lines(name)):
        assert leak.accuracy.low <= 0.51
        assert abs(leak.accuracy.value - leak.majority) < 0.15
        assert leak.best_word_accuracy < 0.65


def test_classes_cover_every_word_of_a_text_with_the_class_of_its_spelling() -> None:
    for line in lines("tokens"):
        assert isinstance(line, TokenLine)
        rest = "".join(
            " " if any(start <= i < stop for start, stop, _ in line.classes) else character
            for i, character in enumerate(line.text)
        )
        assert not rest.strip()
        for start, stop, name in line.classes:
            word = line.text[start:stop]
            assert (name == "digit") == word.isdigit()
            assert (name == "capital") == word[0].isupper()
            assert (name == "bracket") == (word in "()[]{}")
