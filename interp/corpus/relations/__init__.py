"""Relations: token sequences with typed entities, and triplets (head, relation, tail) on them.

`open_relations` reads dependencies from CoNLL-U, triples from jsonl, AGENDA's graphs, and what
spaCy or stanza parsed; words become tokens by their characters, and what does not is counted by
its reason. Nothing here imports torch.

    from interp.corpus.relations import open_relations
    corpus = open_relations("en_pud-ud-test.conllu", "polyglot/base", length=256)
    corpus.coverage                       # {"subj": 1.0, "obj": 1.0, "mod": 0.995}
    batch = next(corpus.batches(16))
    batch.sequences[0].triplets
"""

from interp.corpus.relations.agenda import read_agenda
from interp.corpus.relations.corpus import RelationBatch, RelationCorpus
from interp.corpus.relations.dependencies import read_dependencies
from interp.corpus.relations.parsed import from_spacy, from_stanza
from interp.corpus.relations.source import open_relations
from interp.corpus.relations.text import RelatedText, TextEntity, TextRelation
from interp.corpus.relations.triples import read_triples
from interp.corpus.relations.triplets import Entity, RelatedSequence, Triplet

__all__ = [
    "Entity",
    "RelatedSequence",
    "RelatedText",
    "RelationBatch",
    "RelationCorpus",
    "TextEntity",
    "TextRelation",
    "Triplet",
    "from_spacy",
    "from_stanza",
    "open_relations",
    "read_agenda",
    "read_dependencies",
    "read_triples",
]
