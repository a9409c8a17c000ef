"""Static relations: who was born where, lives where, works where; the same in every document.

A document is a menu of eight towns, which makes them visible, and four clauses: a person, two
filler words, a relation and the town, which is to be predicted at the relation. Each relation is a
permutation of the towns, so all three raise the same words and only their attention to the person
and what it writes can tell them apart.
"""

import numpy as np
from jaxtyping import Int

from probes.relations.document import Document, Writer
from probes.relations.vocabulary import Vocabulary

RELATIONS = ("born", "lives", "works")
PERSONS = (
    *("ada", "ben", "cleo", "dan", "eve", "finn", "gus", "hana", "ivan", "jo", "kim", "leo"),
    *("mia", "nils", "olga", "pia", "quin", "rosa", "sam", "tara", "uma", "vera", "wim", "zoe"),
)
TOWNS = (
    *("oslo", "rome", "bern", "kyiv", "lima", "cairo", "delhi", "tokyo", "quito", "paris"),
    *("sofia", "tunis", "riga", "doha", "baku", "accra", "minsk", "hanoi", "lagos", "perth"),
    *("milan", "turin", "genoa", "basel"),
)
FILLERS = (
    *("then", "later", "once", "there", "now", "still", "also", "often"),
    *("perhaps", "indeed", "again", "soon"),
)
N_MENU, N_CLAUSES = 8, 4
N_CTX = 1 + N_MENU + N_CLAUSES * 6
VOCABULARY = Vocabulary(whole=(*PERSONS, *TOWNS, *RELATIONS, *FILLERS, "."), split={})
_TRUTH_SEED = 11


def truth() -> Int[np.ndarray, "relations persons"]:
    """The place in TOWNS of every person's town under every relation."""
    rng = np.random.default_rng(_TRUTH_SEED)
    return np.stack([rng.permutation(len(TOWNS)) for _ in RELATIONS])


def draw(rng: np.random.Generator) -> Document:
    """A document: four different persons, any relation of each, towns in the menu in any order."""
    towns_of = truth()
    while True:
        menu = rng.choice(len(TOWNS), N_MENU, replace=False)
        relations = rng.integers(len(RELATIONS), size=N_CLAUSES)
        towns = rng.choice(menu, N_CLAUSES, replace=False)
        persons = [int(np.argmax(towns_of[r] == t)) for r, t in zip(relations, towns, strict=True)]
        if len(set(persons)) == N_CLAUSES:
            break
    writer = Writer()
    for town in menu:
        writer.name(TOWNS[town], type="town")
    for person, relation, town in zip(persons, relations, towns, strict=True):
        fact = (PERSONS[person], RELATIONS[relation], TOWNS[town])
        writer.name(PERSONS[person], type="person")
        writer.say(*(FILLERS[i] for i in rng.integers(len(FILLERS), size=2)), RELATIONS[relation])
        writer.state(*fact)
        writer.answer(*fact)
        writer.say(".")
    return writer.finish()
