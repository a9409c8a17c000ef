"""Relations: small decoders that answer questions of relations, and documents whose truth is known.

`static` knows three relations by heart; `binding` reads one from its context; `grammar` reads
dependencies and seven relations of invented names, and learns labels in context; `control` saw the
grammar's text with its questions answered at random.

    from probes.relations import relation_corpus
    corpus = relation_corpus("binding", n=300, seed=0)   # for the bundled relations/binding
    corpus.sequences[0].triplets[0].at                   # where its tail is to be predicted
"""

from probes.relations.corpus import draw_documents, relation_corpus
from probes.relations.document import Document, write_documents
from probes.relations.worlds import WORLDS

__all__ = ["WORLDS", "Document", "draw_documents", "relation_corpus", "write_documents"]
