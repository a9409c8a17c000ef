"""Documents of the grammar world: told facts and questions of them, label tasks, or a glossary.

No verb or name is in two places of what is told, so every question has one right answer; a
name may be the head of two facts with different relations.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from probes.relations.document import Document, Writer
from probes.relations.grammar.labels import (
    KINDS,
    MAX_LINES,
    MIN_LINES,
    draw_glossary,
    draw_task,
    say_line,
)
from probes.relations.grammar.sentences import draw_phrase, say_sentence
from probes.relations.grammar.words import (
    DEPENDENCIES,
    NAMES,
    PREDICATES,
    VERBS,
    VOCABULARY,
)

LENGTH = 96
"""Tokens of a document, BOS among them: as many whole blocks as fit."""
P_LABELS, P_GLOSSARY = 0.25, 0.1
SENTENCES, FACTS = 2, 4
"""Told in a block."""
ASKED, ASKED_BEFORE = 4, 1
"""Questions after a block: of different facts of its own, and of any told before."""
BLOCK_RELATIONS = 2
"""Between names, in a block: were all different, the relation asked would do to find a fact."""
P_SAME_HEAD = 0.25
PRIMER_LENGTH = 40
"""Tokens of a document of the primer at most."""
P_SENTENCES = 0.6
"""That a document of the primer tells sentences, not facts."""
Answered = Literal["rightly", "at random"]
Told = tuple[str, str, str]


def draw(rng: np.random.Generator, *, answered: Answered = "rightly") -> Document:
    """A document of at most 96 tokens; `at random` is answered with any word of the type told."""
    kind = rng.random()
    if kind < P_LABELS:
        return label_document(rng)
    if kind < P_LABELS + P_GLOSSARY:
        return draw_glossary(rng, LENGTH)
    return draw_told(rng, answered=answered)


def draw_told(rng: np.random.Generator, *, answered: Answered = "rightly") -> Document:
    """Blocks of sentences or of facts, each followed by questions."""
    return _Told(rng, answered).document(LENGTH)


def draw_primer(rng: np.random.Generator, *, answered: Answered = "rightly") -> Document:
    """At most 40 tokens of sentences or of facts, with questions of what is told tail first alone.

    That is one thing to learn: what stood before the place where the head was named.
    """
    return _Told(rng, answered, primer=True).document(PRIMER_LENGTH)


class _Told:
    def __init__(
        self, rng: np.random.Generator, answered: Answered, *, primer: bool = False
    ) -> None:
        self.rng, self.answered, self.primer = rng, answered, primer
        self.writer = Writer()
        self.verbs = [VERBS[i] for i in rng.permutation(len(VERBS))]
        self.names = [NAMES[i] for i in rng.permutation(len(NAMES))]
        self.known: list[Told] = []
        sentences = rng.random() < P_SENTENCES
        self.of = ("sentences" if sentences else "facts") if primer else "both"

    def document(self, length: int) -> Document:
        n_tokens, kept = 1, self.writer.finish()
        while tellers := self._tellers():
            before = len(self.writer.words)
            self._ask_some(tellers[int(self.rng.integers(len(tellers)))]())
            n_tokens += sum(len(VOCABULARY.ids[word]) for word in self.writer.words[before:])
            if n_tokens > length:
                break
            kept = self.writer.finish()
        return kept

    def _tellers(self) -> list[Callable[[], list[Told]]]:
        """What can be told with the words that are left."""
        tellers = []
        if len(self.names) >= 4 * SENTENCES and len(self.verbs) >= SENTENCES and self.of != "facts":
            tellers.append(self._sentences)
        if len(self.names) >= 2 * FACTS and self.of != "sentences":
            tellers.append(self._facts)
        return tellers

    def _sentences(self) -> list[Told]:
        block: list[Told] = []
        for _ in range(SENTENCES):
            subject, object_ = (draw_phrase(self.rng, self.names) for _ in range(2))
            block += say_sentence(
                self.writer,
                subject=subject,
                verb=self.verbs.pop(),
                object_=object_,
                subject_first=bool(self.rng.random() < 0.5),
            )
        return block

    def _facts(self) -> list[Told]:
        every = list(PREDICATES)
        relations = [every[i] for i in self.rng.permutation(len(every))[:BLOCK_RELATIONS]]
        block: list[Told] = []
        for _ in range(FACTS):
            relation = relations[int(self.rng.integers(len(relations)))]
            head = self.names.pop()
            if block and not self.primer and self.rng.random() < P_SAME_HEAD:
                old, taken, _ = block[int(self.rng.integers(len(block)))]
                if all(fact[:2] != (old, relation) for fact in block) and taken != relation:
                    self.names.append(head)
                    head = old
            tail = self.names.pop()
            self._say_fact(head, relation, tail)
            block.append((head, relation, tail))
        return block

    def _say_fact(self, head: str, relation: str, tail: str) -> None:
        forward, backward, _ = PREDICATES[relation]
        head_first = not self.primer and self.rng.random() < 0.5
        first, last = (head, tail) if head_first else (tail, head)
        self.writer.name(first, type="name")
        self.writer.say(forward if head_first else backward)
        self.writer.name(last, type="name")
        self.writer.state(head, relation, tail)

    def _ask_some(self, block: list[Told]) -> None:
        if self.primer:
            first = {entity: places[0] for entity, places in self.writer.places.items()}
            block = [fact for fact in block if first[fact[2]] < first[fact[0]]]
        asked = [block[i] for i in self.rng.permutation(len(block))[:ASKED]]
        if self.known and not self.primer:
            asked += [self.known[i] for i in self.rng.integers(len(self.known), size=ASKED_BEFORE)]
        self.known += block
        for i in self.rng.permutation(len(asked)):
            self._ask(*asked[i])

    def _ask(self, head: str, relation: str, tail: str) -> None:
        cue = DEPENDENCIES[relation] if relation in DEPENDENCIES else PREDICATES[relation][2]
        self.writer.say(cue)
        self.writer.name(head, type=self.writer.types[head])
        said = tail
        if self.answered == "at random":
            of_type = [e for e, t in self.writer.types.items() if t == self.writer.types[tail]]
            said = of_type[int(self.rng.integers(len(of_type)))]
        self.writer.answer(head, relation, tail, said=said)


def label_document(rng: np.random.Generator, kind: str | None = None) -> Document:
    """Label tasks, of one kind or of any, one after the other, each of 6 to 24 lines."""
    writer = Writer()
    while True:
        task = draw_task(rng, kind or KINDS[int(rng.integers(len(KINDS)))])
        for _ in range(int(rng.integers(MIN_LINES, MAX_LINES + 1))):
            size = 2 * len(next(iter(task.rule))) + 1
            if 1 + len(writer.words) + size > LENGTH:
                return writer.finish()
            say_line(writer, rng, task)
