"""Leak: how much of a labelled function the words alone tell, without their order or a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from interp.results.bootstrap import ratio_bootstrap
from interp.results.intervals import Interval
from probes.labelled.line import LabelledLine, Line, TokenLine
from probes.linear.ranking import average_precision_interval

WORDS = r"\w+|[^\w\s]"
"""What counts as a word of the bag: letters and digits together, other signs one by one."""


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A bag-of-words logistic regression, fitted on the training side and held against the test."""

    function: str
    subfunction: str
    accuracy: Interval
    """On the test side; 95% bootstrap over items (over lines where words have classes)."""
    seen_words_accuracy: Interval
    """On a random third of all lines after fitting on the rest: what the words tell once items are
    known on both sides."""
    average_precision: Interval
    """Of label 1, or the mean over the classes; the same bootstrap."""
    majority: float
    """Accuracy of the training side's most frequent label."""
    prevalence: float
    """Average precision of a constant score."""
    best_word: str
    """The word that alone separates the labels best over all lines: what copying one token gives;
    empty where words have classes."""
    best_word_accuracy: float
    """(1 + |share of label 1 with the word − share of label 0|) / 2; NaN where words have
    classes."""
    n_train: int
    n_test: int

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, NaN as null."""
        return {key: _plain(value) for key, value in vars(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return [_plain(end) for end in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def leaks(lines: Sequence[Line], *, seed: int = 0) -> tuple[Leak, ...]:
    """The leak of every sub-function, in the order in which they come.

    Classes that are on one side only are left out; with fewer than two on both it is NaN.
    `accuracy` at chance says that what generalises from item to item is not in the bag of words.
    It does not say that the words do not tell: that is `seen_words_accuracy`, and what a detector
    of one single word gives is `best_word_accuracy`.
    """
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        name = line.subfunction if isinstance(line, LabelledLine) else line.function
        groups.setdefault((line.function, name), []).append(line)
    return tuple(_leak(*names, group, seed) for names, group in groups.items())


def _leak(function: str, subfunction: str, lines: list[Line], seed: int) -> Leak:
    texts, labels, sides, items = _examples(lines)
    on_both = np.intersect1d(labels[sides == 0], labels[sides == 1])
    kept = np.flatnonzero(np.isin(labels, on_both))
    texts, sides, items = [texts[i] for i in kept], sides[kept], items[kept]
    train, test = np.flatnonzero(sides == 0), np.flatnonzero(sides == 1)
    classes, codes = np.unique(labels[kept], return_inverse=True)
    word, word_accuracy = ("", float("nan"))
    if isinstance(lines[0], LabelledLine):
        word, word_accuracy = _best_word(texts, codes)
    accuracy, precision, majority, prevalence = _held_out(
        texts, codes, train, test, len(classes), items, seed
    )
    anywhere = np.random.default_rng(seed).permutation(len(codes))
    third = len(codes) // 3
    seen, *_ = _held_out(
        texts, codes, anywhere[third:], anywhere[:third], len(classes), items, seed
    )
    return Leak(
        function=function,
        subfunction=subfunction,
        accuracy=accuracy,
        seen_words_accuracy=seen,
        average_precision=precision,
        majority=majority,
        prevalence=prevalence,
        best_word=word,
        best_word_accuracy=word_accuracy,
        n_train=len(train),
        n_test=len(test),
    )


def _examples(lines: list[Line]) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Texts, labels, sides and the numbers of what is resampled: a line's items, or its words'."""
    texts: list[str] = []
    labels: list[str] = []
    sides: list[int] = []
    items: list[str] = []
    for number, line in enumerate(lines):
        if isinstance(line, TokenLine):
            words = [(line.text[start:stop], name) for start, stop, name in line.classes]
        else:
            words = [(line.text, str(line.label))]
        texts += [text for text, _ in words]
        labels += [name for _, name in words]
        sides += [int(line.split == "test")] * len(words)
        items += [str(number) if isinstance(line, TokenLine) else line.item] * len(words)
    return texts, np.array(labels), np.array(sides), np.unique(items, return_inverse=True)[1]


def _held_out(
    texts: list[str],
    codes: Int[np.ndarray, " lines"],
    train: Int[np.ndarray, " train"],
    test: Int[np.ndarray, " test"],
    n_classes: int,
    items: Int[np.ndarray, " lines"],
    seed: int,
) -> tuple[Interval, Interval, float, float]:
    """Accuracy, average precision, and what the most frequent label and a constant give."""
    nothing = Interval(float("nan"), float("nan"), float("nan"))
    sides = (codes[train], codes[test])
    if n_classes < 2 or min(len(np.unique(side)) for side in sides) < n_classes:
        return nothing, nothing, float("nan"), float("nan")
    counts = _counts(texts)
    scores = _scores(counts, codes, train, test)
    right = scores.argmax(axis=1) == codes[test]
    groups = np.unique(items[test], return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    accuracy = ratio_bootstrap(
        np.bincount(groups, right), np.bincount(groups).astype(np.float64), rng=rng, draws=2000
    )
    wanted = range(n_classes) if n_classes > 2 else [1]
    truth = codes[test][:, None] == np.array(list(wanted))
    precision = average_precision_interval(scores[:, list(wanted)], truth, groups, rng=rng)
    majority = float((codes[test] == np.bincount(codes[train]).argmax()).mean())
    return accuracy, precision, majority, float(truth.mean(axis=0).mean())


def _counts(texts: list[str]) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(token_pattern=WORDS, lowercase=False, binary=True).fit_transform(texts)


def _scores(
    counts: Any, codes: np.ndarray, train: np.ndarray, test: np.ndarray
) -> Float[np.ndarray, "test classes"]:
    from sklearn.linear_model import LogisticRegression

    # Words of the test side alone have weight 0: no label of a training line ever moved them.
    fitted = LogisticRegression(max_iter=1000).fit(counts[train], codes[train])
    return fitted.predict_proba(counts[test])


def _best_word(texts: list[str], codes: np.ndarray) -> tuple[str, float]:
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(token_pattern=WORDS, lowercase=False, binary=True)
    counts = vectorizer.fit_transform(texts)
    shares = [np.asarray(counts[codes == label].mean(axis=0)).ravel() for label in (0, 1)]
    if len(np.unique(codes)) < 2:
        return "", float("nan")
    apart = np.abs(shares[1] - shares[0])
    best = int(apart.argmax())
    return str(vectorizer.get_feature_names_out()[best]), float((1 + apart[best]) / 2)
