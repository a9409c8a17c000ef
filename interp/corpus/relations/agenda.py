"""AGENDA (arXiv:1904.02342): abstracts of papers, each with the graph of its entities.

A line holds, with tabs between: title, entities (`;` between), their types, triples of indices
(`head relation tail`, `;` between), the abstract with entities as `<method_6>`, and more that is
not read. The repository states no licence, so the data is the user's own copy.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from interp.corpus.relations.text import RelatedText, TextEntity, TextRelation
from interp.results.errors import BadInput

RELATIONS = (
    "USED-FOR",
    "CONJUNCTION",
    "FEATURE-OF",
    "PART-OF",
    "COMPARE",
    "EVALUATE-FOR",
    "HYPONYM-OF",
)
"""In the order of the data's own vocabulary file."""

LETTERS = tuple(c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in "AINSWE")
"""Those that arXiv:2402.13055 (section 3) replaces entities by."""

TOO_MANY = "more entities than letters"

Naming = Literal["letters", "names"]
_PLACE = re.compile(r"<([a-z]+)_(\d+)>")


def read_agenda(path: Path, *, naming: Naming = "names", seed: int = 0) -> list[RelatedText]:
    """The abstracts of a file, with their entities and relations.

    `naming="names"` puts the entities' own names into the text; `"letters"` one capital letter for
    each, drawn anew for every abstract so that the order of letters says nothing; relations in an
    abstract of more entities than the 20 letters are counted as dropped.

    Raises BadInput with file and line for a row that is not as described.
    """
    if naming not in ("letters", "names"):
        raise BadInput(f"naming {naming!r}: give letters or names")
    rng = np.random.default_rng(seed)
    texts: list[RelatedText] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                where = f"{path}, line {number}"
                names, fields = _row(line, where)
                text = _related(fields, names, len(texts), where)
                if naming == "letters" and len(names) > len(LETTERS):
                    text = text._replace(unusable=TOO_MANY)
                elif naming == "letters":
                    letters = rng.permutation(np.array(LETTERS))[: len(names)].tolist()
                    text = _related(fields, letters, len(texts), where)
                texts.append(text)
    return texts


def _row(line: bytes, where: str) -> tuple[list[str], list[str]]:
    try:
        fields = line.decode("utf-8-sig").rstrip("\r\n").split("\t")
    except UnicodeDecodeError as error:
        raise BadInput(f"{where} is not UTF-8: {error.reason} at byte {error.start}") from error
    if len(fields) < 5:
        raise BadInput(f"{where} has {len(fields)} columns, AGENDA has at least 5")
    names = [name.strip() for name in fields[1].split(";")]
    if len(names) != len(fields[2].split()):
        raise BadInput(
            f"{where} has {len(names)} entities and {len(fields[2].split())} types: one each"
        )
    return names, fields


def _related(fields: Sequence[str], names: Sequence[str], document: int, where: str) -> RelatedText:
    types = [kind.strip("<>") for kind in fields[2].split()]
    text, spans = _named(fields[4], names, where)
    entities = tuple(
        TextEntity(str(i), types[i], tuple(spans.get(i, ()))) for i in range(len(names))
    )
    relations = tuple(
        _relation(triple, len(names), where) for triple in fields[3].split(";") if triple.strip()
    )
    return RelatedText(text, entities, relations, document, where)


def _named(
    template: str, names: Sequence[str], where: str
) -> tuple[str, Mapping[int, list[tuple[int, int]]]]:
    """The abstract with a name for each placeholder, and where the names stand."""
    text, end = "", 0
    spans: dict[int, list[tuple[int, int]]] = {}
    for place in _PLACE.finditer(template):
        entity = int(place[2])
        if entity >= len(names):
            raise BadInput(f"{where}: {place[0]} is not among its {len(names)} entities")
        text += template[end : place.start()]
        spans.setdefault(entity, []).append((len(text), len(text) + len(names[entity])))
        text, end = text + names[entity], place.end()
    return text + template[end:], spans


def _relation(triple: str, n_entities: int, where: str) -> TextRelation:
    parts = triple.split()
    if len(parts) != 3 or not all(part.isdigit() for part in parts):
        raise BadInput(f"{where}: the triple {triple.strip()!r} is not three numbers")
    head, relation, tail = map(int, parts)
    if max(head, tail) >= n_entities or relation >= len(RELATIONS):
        raise BadInput(
            f"{where}: the triple {triple.strip()!r} is outside of its {n_entities} entities and "
            f"the {len(RELATIONS)} relations"
        )
    return TextRelation(head, RELATIONS[relation], tail)
