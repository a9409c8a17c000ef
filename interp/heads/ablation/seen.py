"""Seen: whether heads were chosen on the documents that they are to be ablated on."""

from typing import NamedTuple

from interp.corpus.relations import RelationCorpus
from interp.heads.documents import documents_among
from interp.heads.scores import HeadScores
from interp.results.errors import BadInput

SAME = "these same documents, which favours the chosen heads"
OTHER = "other documents, by their tokens"
UNKNOWN = "another text, by its hash; whether they share documents is not known"
_RANDOM = ("repeated", "random")


class Seen(NamedTuple):
    """What the scores of a detector have read of a corpus."""

    documents: set[int]
    known: bool
    """Whether all that they read can be told by its documents."""


def fed_to(scores: HeadScores, detector: str) -> set[str | None]:
    """The hashes of what the columns of a detector were fed."""
    own = [column for column in scores.columns if column.detector == detector]
    return {column.corpus_hash or scores.provenance.corpus_hash for column in own}


def seen_by(scores: HeadScores, corpus: RelationCorpus, *, detector: str) -> Seen:
    """The documents of `corpus` on which the scores of a detector were made."""
    every = {sequence.document for sequence in corpus.sequences}
    found: set[int] = set()
    known = True
    for fed in fed_to(scores, detector):
        if fed is not None and fed in scores.documents:
            found |= documents_among(corpus, scores.documents[fed])
        elif fed == corpus.hash:
            found |= every
        else:
            known = False
    random = all(c.inputs in _RANDOM for c in scores.columns if c.detector == detector)
    return Seen(found, known or random)


def chosen_on(
    scores: HeadScores | None,
    whole: RelationCorpus,
    *,
    asked: RelationCorpus,
    detector: str,
    same: bool,
) -> str:
    """On what the heads were chosen, in words, where `asked` of `whole` is ablated.

    Raises BadInput where a document of `asked` is among what the scores read, unless `same`.
    """
    if scores is None:
        return "not said"
    own = {sequence.document for sequence in asked.sequences}
    seen = seen_by(scores, whole, detector=detector)
    shared = len(seen.documents & own)
    if not shared:
        return OTHER if seen.known else UNKNOWN
    if not same:
        raise BadInput(
            f"the scores were made on {shared} of these {len(own)} documents, on which chance "
            "favours the heads it chose: score one half (`--half first`) and ablate on the other "
            "with the same --seed, or allow it (--same-documents)"
        )
    return (
        SAME
        if shared == len(own)
        else f"{shared} of these {len(own)} documents, and "
        + ("others: that favours the chosen heads")
    )
