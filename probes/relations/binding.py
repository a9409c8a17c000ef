"""In-context binding: six facts of two names that hold in one document, then eight questions.

A fact is two names, the value and its owner, the value first; a question is `ask`, an owner, and
the owner's value, which is to be predicted at the owner. Nothing but the document says who owns
what, so no embedding knows it: layer 0 must write the value where the owner stands, and layer 1
must fetch it from there.
"""

import numpy as np

from probes.relations.document import Document, Writer
from probes.relations.vocabulary import Vocabulary

RELATION = "owns"
ASK = "ask"
NAMES = (
    *("bam", "bel", "cob", "dax", "dim", "fep", "fol", "gan", "gub", "hiv", "jat", "jom", "kel"),
    *("kip", "lod", "luz", "mav", "mip", "nar", "nub", "pef", "pog", "rax", "rol", "sav", "sib"),
    *("tef", "tul", "vam", "vok", "wex", "zin"),
)
N_FACTS, N_QUESTIONS = 6, 8
N_CTX = 1 + 2 * N_FACTS + 3 * N_QUESTIONS
VOCABULARY = Vocabulary(whole=(*NAMES, ASK), split={})


def draw(rng: np.random.Generator) -> Document:
    """A document: twelve different names, six owners among them, asked with replacement."""
    names = [NAMES[i] for i in rng.choice(len(NAMES), 2 * N_FACTS, replace=False)]
    facts = [(names[i + 1], RELATION, names[i]) for i in range(0, 2 * N_FACTS, 2)]
    writer = Writer()
    for owner, _, value in facts:
        writer.name(value, type="value")
        writer.name(owner, type="owner")
        writer.state(owner, RELATION, value)
    for asked in rng.integers(N_FACTS, size=N_QUESTIONS):
        writer.say(ASK)
        writer.name(facts[asked][0], type="owner")
        writer.answer(*facts[asked])
    return writer.finish()
