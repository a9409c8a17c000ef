"""Related texts to a RelationCorpus: tokenized, aligned, cut to the length, and counted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from interp.corpus.documents import Document
from interp.corpus.packing import Frame
from interp.corpus.relations.alignment import mention_tokens, token_before, visible_spans
from interp.corpus.relations.corpus import RelationCorpus
from interp.corpus.relations.text import RelatedText, TextRelation
from interp.corpus.relations.triplets import Entity, RelatedSequence, Triplet
from interp.corpus.text import TextModel
from interp.results.errors import BadInput, Unsupported

UNMENTIONED = "an entity that is not mentioned"
ITSELF = "head and tail are one entity"
SAME_TOKENS = "head and tail on the same tokens"
CUT_APART = "cut apart by the length"
NO_ANSWER = "no token begins where the answer does"


class Window(NamedTuple):
    """How much of a text one sequence takes."""

    length: int | None
    """None: all of it."""
    context: int | None
    """What the model takes; None where it says nothing."""
    frame: Frame


class _Aligned(NamedTuple):
    """One text on its tokens, the frame not counted."""

    source: RelatedText
    ids: Int[np.ndarray, " n"]
    visible: Int[np.ndarray, "n 2"]
    mentions: list[list[tuple[int, int]]]
    """Of each entity."""
    reasons: list[str]
    """Why an entity has no mention, where it has none."""


def assemble(
    texts: Sequence[RelatedText],
    model: TextModel,
    *,
    name: str,
    relations: Mapping[str, str],
    names: Sequence[str],
    window: Window,
    min_coverage: float,
) -> RelationCorpus:
    """The corpus of `texts`; `relations` says which of `names` a relation of the source counts as.

    Raises BadInput for a text longer than the context, a relation without a single pair on tokens,
    and less than `min_coverage` of the pairs of a relation on tokens.
    """
    found, dropped = Counter[str](), {n: Counter[str]() for n in names}
    sequences: list[RelatedSequence] = []
    for aligned in _align(texts, model):
        pieces = [_Piece(aligned, start, stop) for start, stop in _cuts(aligned, window)]
        for relation in aligned.source.relations:
            if (counts_as := relations.get(relation.name)) is None:
                continue
            found[counts_as] += 1
            if reason := _place(relation, aligned, pieces, names.index(counts_as)):
                dropped[counts_as][reason] += 1
        if aligned.source.unusable is None:
            sequences += [piece.sequence(window.frame) for piece in pieces]
    corpus = RelationCorpus(
        name=name,
        relations=tuple(names),
        sequences=tuple(sequences),
        dropped={n: dict(reasons) for n, reasons in dropped.items()},
        n_triplets_found={n: found[n] for n in names},
        tokenizer_digest=model.facts.digest,
        bos=model.describe(window.frame, packed=False),
        length=window.length or max((len(s.tokens) for s in sequences), default=1),
        special_tokens=model.special_tokens,
    )
    _require_coverage(corpus, min_coverage)
    return corpus


def _align(texts: Sequence[RelatedText], model: TextModel) -> list[_Aligned]:
    if model.tokenizer is None:
        raise BadInput(
            f"{model.name} has no tokenizer, so relations in text cannot be put on tokens: give a "
            "RelationCorpus of ready ids"
        )
    if not model.tokenizer.is_fast:
        raise Unsupported(
            f"{type(model.tokenizer).__name__}, the tokenizer of {model.name}, does not say which "
            "characters a token is made of: give a fast one (PreTrainedTokenizerFast, from a "
            "tokenizer.json)"
        )
    documents = [Document(t.text, (), t.where) for t in texts]
    encoded = model.encode(documents, offsets=True)
    return [_on_tokens(t, e.ids, e.offsets, model) for t, e in zip(texts, encoded, strict=True)]


def _on_tokens(
    source: RelatedText,
    ids: Int[np.ndarray, " n"],
    offsets: Int[np.ndarray, "n 2"] | None,
    model: TextModel,
) -> _Aligned:
    assert offsets is not None
    strings = model.tokenizer.convert_ids_to_tokens(ids.tolist())
    visible = visible_spans(source.text, offsets, strings)
    mentions: list[list[tuple[int, int]]] = []
    reasons: list[str] = []
    for entity in source.entities:
        placed = [mention_tokens(source.text, span, visible) for span in entity.spans]
        mentions.append(sorted(p for p in placed if isinstance(p, tuple)))
        reasons.append(next((p for p in placed if isinstance(p, str)), UNMENTIONED))
    return _Aligned(source, ids, visible, mentions, reasons)


def _cuts(aligned: _Aligned, window: Window) -> list[tuple[int, int]]:
    """First token of each sequence of a text, and the one after its last."""
    n, framing = len(aligned.ids), len(window.frame.prefix) + len(window.frame.suffix)
    if window.length is None:
        if window.context is not None and n + framing > window.context:
            raise BadInput(
                f"{aligned.source.where} has {n + framing} tokens and the model's context is "
                f"{window.context}: give a length of at most {window.context} to cut it"
            )
        return [(0, n)] if n else []
    room = window.length - framing
    return [(start, min(start + room, n)) for start in range(0, n, room)]


class _Piece:
    """The tokens [start, stop) of a text, and the triplets that stand in them whole."""

    def __init__(self, aligned: _Aligned, start: int, stop: int) -> None:
        self._aligned, self._start, self._stop = aligned, start, stop
        self._triplets: list[tuple[int, int, int, tuple[int, ...]]] = []

    def mentions(self, entity: int) -> list[tuple[int, int]]:
        """Of one entity, those that are not cut."""
        return [
            (a, b)
            for a, b in self._aligned.mentions[entity]
            if self._start <= a and b <= self._stop
        ]

    def take(self, relation: TextRelation, number: int, at: Sequence[int]) -> bool:
        """Add a triplet; False if it does not stand here."""
        inside = tuple(
            i
            for i in at
            if self._start <= i < self._stop
            and all(self._as_seen(entity, i) for entity in (relation.head, relation.tail))
        )
        pairs = [(a, b) for a in self.mentions(relation.head) for b in self.mentions(relation.tail)]
        if not any(_apart(a, b) for a, b in pairs) or (at and not inside):
            return False
        self._triplets.append((relation.head, number, relation.tail, inside))
        return True

    def _as_seen(self, entity: int, at: int) -> bool:
        """Whether an entity that the text mentions before a position is mentioned before it here.

        Else the cut parts a question from what it asks about, though the answer itself is here.
        """
        return _mentioned(self.mentions(entity), at) or not _mentioned(
            self._aligned.mentions[entity], at
        )

    def sequence(self, frame: Frame) -> RelatedSequence:
        """The piece as fed: positions count the frame before it."""
        shift = len(frame.prefix) - self._start
        entities, index = [], {}
        for i, entity in enumerate(self._aligned.source.entities):
            if mentions := self.mentions(i):
                index[i] = len(entities)
                placed = tuple((a + shift, b + shift) for a, b in mentions)
                entities.append(Entity(entity.id, entity.type, placed))
        triplets = tuple(
            Triplet(index[head], number, index[tail], tuple(i + shift for i in at))
            for head, number, tail, at in self._triplets
        )
        ids = self._aligned.ids[self._start : self._stop]
        tokens = np.concatenate([frame.prefix, ids, frame.suffix]).astype(np.int64)
        source = self._aligned.source
        return RelatedSequence(tokens, tuple(entities), triplets, source.document, self._text())

    def _text(self) -> str:
        spans, text = self._aligned.visible, self._aligned.source.text
        start = 0 if self._start == 0 else int(spans[self._start, 0])
        stop = len(text) if self._stop == len(spans) else int(spans[self._stop, 0])
        return text[start:stop]


def _place(
    relation: TextRelation, aligned: _Aligned, pieces: Sequence[_Piece], number: int
) -> str | None:
    """Put a relation into the pieces where it stands; why, if in none."""
    head, tail = relation.head, relation.tail
    if aligned.source.unusable:
        return aligned.source.unusable
    if head == tail:
        return ITSELF
    for entity in (head, tail):
        if not aligned.mentions[entity]:
            return aligned.reasons[entity]
    if not any(_apart(a, b) for a in aligned.mentions[head] for b in aligned.mentions[tail]):
        return SAME_TOKENS
    before = [token_before(aligned.source.text, c, aligned.visible) for c in relation.answers]
    at = [i for i in before if i is not None and i >= 0]
    if relation.answers and not at:
        return NO_ANSWER
    placed = [piece.take(relation, number, at) for piece in pieces]
    return None if any(placed) else CUT_APART


def _mentioned(mentions: Sequence[tuple[int, int]], at: int) -> bool:
    return any(stop <= at + 1 for _, stop in mentions)


def _apart(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[1] <= other[0] or other[1] <= one[0]


def _require_coverage(corpus: RelationCorpus, least: float) -> None:
    for name, share in corpus.coverage.items():
        n, reasons = corpus.n_triplets_found[name], corpus.dropped[name]
        why = "; ".join(f"{k}: {r}" for r, k in sorted(reasons.items(), key=lambda kv: -kv[1]))
        if not n:
            raise BadInput(f"{corpus.name} has no pair of the relation {name!r}: leave it out")
        if share == 0:
            raise BadInput(
                f"{corpus.name}: none of the {n} pairs of the relation {name!r} is on tokens "
                f"({why}): leave the relation out, or use a tokenizer that keeps its words apart"
            )
        if share < least:
            raise BadInput(
                f"{corpus.name}: only {share:.0%} of the {n} pairs of the relation {name!r} are on "
                f"tokens ({why}): at least {least:.0%} was asked, give a lower one "
                "(min_coverage, --min-coverage) to go on with these"
            )
