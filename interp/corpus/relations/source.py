"""Any source of relations to a RelationCorpus: treebanks, triples, graphs, parsed documents."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from interp.corpus.relations.agenda import RELATIONS, Naming, read_agenda
from interp.corpus.relations.assemble import Window, assemble
from interp.corpus.relations.corpus import RelationCorpus
from interp.corpus.relations.dependencies import UNIVERSAL, read_dependencies
from interp.corpus.relations.parsed import SPACY
from interp.corpus.relations.text import RelatedText
from interp.corpus.relations.triples import read_triples
from interp.corpus.text import TextModel, open_text_model
from interp.results.errors import BadInput, Mismatch

Kind = Literal["auto", "conllu", "jsonl", "agenda"]
_SUFFIXES: Mapping[str, Kind] = {".conllu": "conllu", ".jsonl": "jsonl", ".tsv": "agenda"}


def open_relations(
    source: Any,
    model: Any,
    *,
    length: int | None = None,
    relations: Sequence[str] | None = None,
    mapping: Mapping[str, Sequence[str]] | None = None,
    kind: Kind = "auto",
    naming: Naming = "names",
    seed: int = 0,
    add_bos: bool | Literal["auto"] = "auto",
    min_coverage: float = 0.5,
) -> RelationCorpus:
    """The sequences of `source` as the tokenizer of `model` reads them, with their triplets.

    `source`: a CoNLL-U file (dependencies), a .jsonl file of triples, a .tsv file of AGENDA, what
    `from_spacy` or `from_stanza` returns, or a RelationCorpus, which is returned as it is. `model`:
    a bridge, what `load` takes as a name, a model directory, or a tokenizer.

    `mapping` says which labels of the source count as which relation; without it dependencies
    become subj, obj and mod, and other sources keep their names. `relations` chooses some.
    `naming` and `seed` are AGENDA's. `add_bos` is as in `open_corpus`.

    Without `length` every text is one sequence, and one that is longer than the model's context is
    refused. With it, a longer text goes on in sequences of its own, each framed alike, as
    `open_corpus(packing="document")` has it; a triplet stands in those that mention head and tail
    (and ask, where it is asked, after what the text mentions before), and is dropped where none
    does.

    Raises BadInput, with file and line, for a malformed source; for a relation without any pair on
    tokens or with less than `min_coverage` of them; and Unsupported for a tokenizer that does not
    say which characters a token is made of.
    """
    text_model = _text_model(model)
    if isinstance(source, RelationCorpus):
        return _passed_on(source, text_model)
    context = _context(model)
    frame = text_model.frame(add_bos, packed=False)
    _check_length(length, context, len(frame.prefix) + len(frame.suffix))
    name, texts, default = _read(source, kind, naming, seed)
    counted = _counted(texts, mapping, default, relations, name)
    return assemble(
        texts,
        text_model,
        name=name,
        relations={label: r for r, labels in counted.items() for label in labels},
        names=tuple(counted),
        window=Window(length, context, frame),
        min_coverage=min_coverage,
    )


def _read(
    source: Any, kind: Kind, naming: Naming, seed: int
) -> tuple[str, Sequence[RelatedText], Mapping[str, Sequence[str]] | None]:
    """Name, texts, and what the labels count as where nobody says."""
    if isinstance(source, list | tuple) and source and isinstance(source[0], RelatedText):
        return f"{len(source)} parsed texts", source, SPACY
    if not isinstance(source, str | Path):
        raise BadInput(
            f"a {type(source).__name__} is no source of relations: give a .conllu, .jsonl or .tsv "
            "file, what from_spacy or from_stanza returns, or a RelationCorpus"
        )
    path = Path(source).expanduser()
    if not path.is_file():
        raise BadInput(f"{path} is not a file: a .conllu, .jsonl or AGENDA .tsv was expected")
    found = _SUFFIXES.get(path.suffix) if kind == "auto" else kind
    if found == "conllu":
        return str(path), read_dependencies(path), UNIVERSAL
    if found == "jsonl":
        return str(path), read_triples(path), None
    if found == "agenda":
        return str(path), read_agenda(path, naming=naming, seed=seed), None
    raise BadInput(f"{path}: relations are read from {', '.join(_SUFFIXES)}: or say its kind")


def _counted(
    texts: Sequence[RelatedText],
    mapping: Mapping[str, Sequence[str]] | None,
    default: Mapping[str, Sequence[str]] | None,
    chosen: Sequence[str] | None,
    name: str,
) -> Mapping[str, Sequence[str]]:
    """Relation -> labels of the source, for those that were asked or else that are there."""
    there = {r.name for text in texts for r in text.relations}
    order = [r for r in RELATIONS if r in there] + sorted(there - set(RELATIONS))
    known = mapping or default or {label: (label,) for label in order}
    labels = [label for of in known.values() for label in of]
    if len(labels) > len(set(labels)):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise BadInput(f"the label {twice!r} counts as two relations in the mapping: one is meant")
    if chosen is not None:
        if unknown := [r for r in chosen if r not in known]:
            raise BadInput(f"{name} has no relation {unknown[0]!r}: it has {', '.join(known)}")
        return {r: known[r] for r in chosen}
    if mapping:
        return mapping
    counted = {r: of for r, of in known.items() if not there.isdisjoint(of)}
    if not counted:
        raise BadInput(f"{name} has no relation at all: {', '.join(known) or 'some'} expected")
    return counted


def _text_model(model: Any) -> TextModel:
    if not hasattr(model, "original_model"):
        return open_text_model(model)
    from interp.models.load import reference_of

    return open_text_model(reference_of(model) or model.tokenizer)


def _context(model: Any) -> int | None:
    """How many tokens the model takes; None for a tokenizer alone, or where there is no limit."""
    from interp.models.context import context_of
    from interp.models.hub import directory_of

    if hasattr(model, "original_model"):
        return context_of(model)
    return context_of(directory_of(model)) if isinstance(model, str | Path) else None


def _check_length(length: int | None, context: int | None, framing: int) -> None:
    if length is not None and length <= framing:
        raise BadInput(f"length {length} has no room for text beside {framing} special tokens")
    if length is not None and context is not None and length > context:
        raise BadInput(f"length {length} is more than the model's context of {context}")


def _passed_on(corpus: RelationCorpus, model: TextModel) -> RelationCorpus:
    digest = model.facts.digest
    if None not in (digest, corpus.tokenizer_digest) and digest != corpus.tokenizer_digest:
        raise Mismatch(
            f"{corpus.name} was tokenized with another tokenizer than that of {model.name}: open "
            "it again with this model"
        )
    return corpus
