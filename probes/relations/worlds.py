"""Worlds: what documents a model is trained on, in which words, and how long they are."""

from dataclasses import dataclass
from functools import partial

from probes.relations import binding, static
from probes.relations.document import Draw
from probes.relations.grammar import documents, words
from probes.relations.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class World:
    """How to draw a document, and the words it may have."""

    draw: Draw
    """A document to train on."""
    told: Draw
    """A document with questions of facts: the same, where all are."""
    vocabulary: Vocabulary
    relations: tuple[str, ...]
    n_ctx: int
    primer: Draw | None = None
    """A shorter and simpler document to begin the training with."""
    primer_length: int | None = None


WORLDS = {
    "static": World(
        draw=static.draw,
        told=static.draw,
        vocabulary=static.VOCABULARY,
        relations=static.RELATIONS,
        n_ctx=static.N_CTX,
    ),
    "binding": World(
        draw=binding.draw,
        told=binding.draw,
        vocabulary=binding.VOCABULARY,
        relations=(binding.RELATION,),
        n_ctx=binding.N_CTX,
    ),
    "grammar": World(
        draw=documents.draw,
        told=documents.draw_told,
        primer=documents.draw_primer,
        primer_length=documents.PRIMER_LENGTH,
        vocabulary=words.VOCABULARY,
        relations=words.RELATIONS,
        n_ctx=documents.LENGTH,
    ),
    "control": World(
        draw=partial(documents.draw, answered="at random"),
        told=partial(documents.draw_told, answered="at random"),
        primer=partial(documents.draw_primer, answered="at random"),
        primer_length=documents.PRIMER_LENGTH,
        vocabulary=words.VOCABULARY,
        relations=words.RELATIONS,
        n_ctx=documents.LENGTH,
    ),
}
"""By the name of the bundled model. The control's documents are the grammar's, answered at random
among the words of the tail's type that were named before."""
