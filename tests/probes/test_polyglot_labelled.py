"""The labels against a reader that knows the words alone."""

import numpy as np

from interp.models.reference import BUNDLED
from probes.polyglot.labelled import is_held_out, labelled_lines, line_labels, split_lines
from probes.polyglot.languages import LANGUAGES, NUMBERS, OPERATIONS, WORDS
from probes.polyglot.mixtures import Mixture, draw_lines

MIXTURE = Mixture(languages=(0.2, 0.2, 0.2, 0.2, 0.2), code_mixing=0.5, ability=0.1)


def read(word: str) -> tuple[int, int]:
    for place, language in enumerate(LANGUAGES):
        if word in NUMBERS[language]:
            return NUMBERS[language].index(word), place
        if word == f"->{language}":
            return -1, place
    return -1, -1


def test_every_label_is_what_a_reader_of_the_words_says() -> None:
    tokens = draw_lines(MIXTURE, 300, np.random.default_rng(3))
    labels = line_labels(tokens)
    for i, line in enumerate(tokens):
        words = [WORDS[token] for token in line]
        numbers, languages = zip(*map(read, words), strict=True)
        assert labels["number"][i].tolist() == list(numbers)
        assert labels["language"][i].tolist() == list(languages)
        operation = OPERATIONS.index(words[2])
        assert labels["operation"][i].tolist() == [-1, -1, operation, operation, operation]
        assert labels["answer"][i].tolist() == [-1, -1, -1, numbers[4], -1]


def test_a_labelled_corpus_holds_its_labels_beside_its_tokens() -> None:
    corpus = labelled_lines(MIXTURE, n=20, seed=1, model=BUNDLED / "polyglot" / "base")
    batch = next(iter(corpus.batches(20)))
    assert sorted(batch.labels) == ["answer", "language", "number", "operation"]
    np.testing.assert_array_equal(
        batch.labels["number"], line_labels(np.asarray(batch.tokens))["number"]
    )


def test_no_question_is_on_both_sides_and_an_eighth_is_held_out() -> None:
    seen, unseen = (split_lines(MIXTURE, n=4_000, seed=5, held_out=side) for side in (False, True))
    assert not is_held_out(seen).any()
    assert is_held_out(unseen).all()

    def questions(lines: np.ndarray) -> set[tuple[int, int, str]]:
        words = [[WORDS[token] for token in line] for line in lines]
        return {(read(x)[0], read(y)[0], operation) for x, y, operation, *_ in words}

    assert not questions(seen) & questions(unseen)
    share = is_held_out(draw_lines(MIXTURE, 20_000, np.random.default_rng(0))).mean()
    assert 0.11 < share < 0.14
