"""Triples in jsonl: one text a line, with entities on its characters and relations between them.

    {"text": "a pen for writing",
     "entities": [{"id": "pen", "type": "tool", "spans": [[2, 5]]},
                  {"id": "writing", "type": "task", "spans": [[10, 17]]}],
     "relations": [["pen", "used-for", "writing", [10]]]}

The list of characters that may follow a relation says where the text, asked for the tail, begins to
say it. Lines with the same `document` (a number or a string) are one document; without it, each
line is one.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interp.corpus.documents import check_text, is_integer
from interp.corpus.relations.text import RelatedText, TextEntity, TextRelation
from interp.results.errors import BadInput


def read_triples(path: Path) -> list[RelatedText]:
    """The texts of a file; BadInput with file and line for one that is not as described."""
    texts: list[RelatedText] = []
    documents: dict[Any, int] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                where = f"{path}, line {number}"
                entry = _entry(line, where)
                key = entry.get("document", (number,))
                if not isinstance(key, str | tuple) and not is_integer(key):
                    raise BadInput(f"{where}: `document` is {key!r}, a number or string expected")
                texts.append(_related(entry, documents.setdefault(key, len(documents)), where))
    return texts


def _entry(line: bytes, where: str) -> Mapping[str, Any]:
    try:
        entry = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadInput(f"{where} is not UTF-8: {error.reason} at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not JSON: {error}") from error
    if not isinstance(entry, dict):
        raise BadInput(f"{where} is a JSON {type(entry).__name__}, an object was expected")
    for name, kind in (("text", str), ("entities", list), ("relations", list)):
        if not isinstance(entry.get(name), kind):
            raise BadInput(f"{where}: field {name!r} must be a {kind.__name__}")
    check_text(entry["text"], where)
    return entry


def _related(entry: Mapping[str, Any], document: int, where: str) -> RelatedText:
    text = entry["text"]
    entities = tuple(_entity(e, text, where) for e in entry["entities"])
    index = {entity.id: i for i, entity in enumerate(entities)}
    if len(index) < len(entities):
        twice = next(e.id for i, e in enumerate(entities) if index[e.id] != i)
        raise BadInput(f"{where}: two entities have the id {twice!r}: give all mentions in one")
    relations = tuple(_relation(r, index, text, where) for r in entry["relations"])
    return RelatedText(text, entities, relations, document, where)


def _entity(item: Any, text: str, where: str) -> TextEntity:
    if not isinstance(item, dict) or not {"id", "type", "spans"} <= item.keys():
        raise BadInput(f"{where}: the entity {item!r} needs id, type and spans")
    spans = item["spans"]
    if not isinstance(spans, list) or not spans:
        raise BadInput(f"{where}: entity {item['id']!r} has no spans: give one for each mention")
    return TextEntity(
        _name(item["id"], where),
        _name(item["type"], where),
        tuple(_span(s, text, where) for s in spans),
    )


def _span(span: Any, text: str, where: str) -> tuple[int, int]:
    whole = isinstance(span, list) and len(span) == 2 and all(map(is_integer, span))
    if not whole or not 0 <= span[0] < span[1] <= len(text):
        raise BadInput(
            f"{where}: the span {span!r} is not [start, end] in characters, with start below end "
            f"and end at most {len(text)}, the length of the text"
        )
    if not text[span[0] : span[1]].strip():
        raise BadInput(f"{where}: the span {span!r} holds blanks only")
    return span[0], span[1]


def _relation(item: Any, index: Mapping[str, int], text: str, where: str) -> TextRelation:
    if not isinstance(item, list) or len(item) not in (3, 4):
        raise BadInput(
            f"{where}: the relation {item!r} is not [head, relation, tail] or "
            "[head, relation, tail, [characters]]"
        )
    head, name, tail = (_name(part, where) for part in item[:3])
    for id in (head, tail):
        if id not in index:
            raise BadInput(f"{where}: the relation {item!r} names {id!r}, no entity has that id")
    if head == tail:
        raise BadInput(f"{where}: the relation {item!r} is of an entity with itself")
    answers = item[3] if len(item) == 4 else []
    whole = isinstance(answers, list) and all(map(is_integer, answers))
    if not whole or not all(0 <= c < len(text) for c in answers):
        raise BadInput(
            f"{where}: the relation {item!r} has answers that are not characters of the text, 0 "
            f"to {len(text) - 1}"
        )
    return TextRelation(index[head], name, index[tail], tuple(answers))


def _name(value: Any, where: str) -> str:
    if is_integer(value):
        return str(value)
    if not isinstance(value, str) or not value:
        raise BadInput(f"{where}: {value!r} is no name: give a string or a whole number")
    return value
