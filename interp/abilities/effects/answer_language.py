"""In which language a model answers, as far as the words of the items' own answers tell."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from interp.abilities.effects.side_effects import WrongLanguage
from interp.evaluation.evaluation import Evaluation
from interp.evaluation.items import Item
from interp.results.intervals import wilson

Verdict = Literal["own", "other", "unknown"]


def own_words(items: Sequence[Item]) -> dict[str, frozenset[str]]:
    """By language, the words of its answers and choices that no other language's hold.

    Words are what white space separates, case aside; one without a letter belongs to nobody.
    """
    by_language: dict[str, set[str]] = {}
    for item in items:
        texts = (item.answer, *item.choices)
        by_language.setdefault(item.language, set()).update(*map(_words, texts))
    shared = Counter(word for words in by_language.values() for word in words)
    return {
        language: frozenset(word for word in words if shared[word] == 1)
        for language, words in by_language.items()
    }


def language_of(said: str, asked: str, own: dict[str, frozenset[str]]) -> Verdict:
    """Whether an answer is in the language it was asked in, in another, or not to be told.

    `other`: it has words that belong to another language alone, and none of its own language.
    """
    words = _words(said)
    if words & own[asked]:
        return "own"
    others = (own[language] for language in own if language != asked)
    return "other" if any(words & other for other in others) else "unknown"


def wrong_languages(
    evaluation: Evaluation, items: Sequence[Item]
) -> tuple[tuple[WrongLanguage, ...], tuple[str, ...]]:
    """The share of every model's answers that are in another language, and what cannot be told."""
    own = own_words(items)
    told = [language for language, words in own.items() if words]
    if len(own) < 2:
        return (), ("Answers in another language: not told, the items are of one language.",)
    if len(told) < 2:
        return (), (
            "Answers in another language: not told, no two languages have words of their own.",
        )
    if evaluation.protocol.is_choice and not _choices_cross(items, own):
        return (), (
            "Answers in another language: not told, every item's choices are in its own language.",
        )
    silent = sorted(set(own) - set(told))
    notes = (
        f"Answers in another language: {', '.join(silent)} have no word of their own, so that "
        "answers in them cannot be told.",
    )
    measured = [_of_model(name, evaluation, own) for name in evaluation.models]
    return tuple(measured), notes if silent else ()


def _of_model(model: str, evaluation: Evaluation, own: dict[str, frozenset[str]]) -> WrongLanguage:
    said = evaluation.said[evaluation.place(model)]
    verdicts = Counter(
        language_of(text, question.language, own)
        for text, question in zip(said, evaluation.questions, strict=True)
    )
    decided = verdicts["own"] + verdicts["other"]
    return WrongLanguage(
        model=model,
        wrong=wilson(verdicts["other"], decided),
        n_decided=decided,
        n_undecided=verdicts["unknown"],
    )


def _choices_cross(items: Sequence[Item], own: dict[str, frozenset[str]]) -> bool:
    return any(
        language_of(choice, item.language, own) == "other"
        for item in items
        for choice in item.choices
    )


def _words(text: str) -> frozenset[str]:
    return frozenset(
        word for word in text.casefold().split() if any(letter.isalpha() for letter in word)
    )
