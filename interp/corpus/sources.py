"""Any text source to a Corpus: files, a `datasets` object, a hub name, or ready token ids."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from interp.corpus.alignment import token_labels
from interp.corpus.corpus import Corpus, SpecialTokens
from interp.corpus.documents import Document, Source
from interp.corpus.files import SUFFIXES, file_source
from interp.corpus.hf_datasets import dataset_source, hub_source, stream_source
from interp.corpus.labels import LabelScheme, SpanLabels, WordLabels
from interp.corpus.packing import Frame, Row, TokenDocument, one_a_row, pack
from interp.corpus.text import Encoded, TextModel, open_text_model
from interp.results.errors import BadInput
from interp.results.hashing import sha256_json

_SCHEMA = "interp.corpus/2"
_TOKENIZED_AT_ONCE = 64
_ON_TEXT = (WordLabels, SpanLabels)

Packing = Literal["pack", "document"]


def open_corpus(
    source: Any,
    model: Any,
    *,
    length: int,
    packing: Packing = "pack",
    field: str = "text",
    split: str = "train",
    seed: int | None = None,
    add_bos: bool | Literal["auto"] = "auto",
    labels: Sequence[str] = (),
) -> Corpus:
    """The corpus of `source` as the tokenizer of `model` reads it, in rows of `length` tokens.

    `source`: a .txt, .jsonl, .parquet or CoNLL-U file, a directory of them, a `datasets` object, a
    hub data set (`owner/name` or `owner/name:configuration`, streamed from `split`), or ready ids:
    a 2-D integer array, a .npy file of one, or a `field` that holds lists of ids. `model`: what
    `load` takes as a name, a model directory, a tokenizer, or None (ready ids only).

    `packing="pack"` fills rows end to end, documents separated by EOS where there is one;
    `"document"` starts each document in a row of its own and continues a longer one in the next.
    `add_bos="auto"` does what the tokenizer does by itself; True puts BOS before every row, False
    nothing. `seed` shuffles the documents. `labels` names fields to carry along: a number or string
    for the whole document, a list with one for every word (between spaces) or token, or a list of
    [start, end, value] in characters; strings become integers, whose strings are `label_values`.

    Raises BadInput, with file and line, before the first batch for a text file that is not UTF-8,
    a line that is not JSON or lacks a field, an empty source, and text without a tokenizer; and
    on reaching it, for labels that do not align with the tokens.
    """
    if length < 1:
        raise BadInput(f"length {length}: a sequence has at least one token")
    text_model = open_text_model(model)
    ids = _ready_ids(source)
    if ids is not None:
        return _from_array(ids, text_model, length, _name(source))
    documents = _open_source(source, split=split, field=field, labels=tuple(labels))
    _require_something(documents, text_model)
    return _from_documents(
        documents,
        text_model,
        length=length,
        packing=packing,
        seed=seed,
        frame=text_model.frame(add_bos, packed=packing == "pack"),
        label_names=tuple(labels),
    )


def _from_documents(
    source: Source,
    model: TextModel,
    *,
    length: int,
    packing: Packing,
    seed: int | None,
    frame: Frame,
    label_names: tuple[str, ...],
) -> Corpus:
    order = None
    if seed is not None:
        if source.n_documents is None:
            raise BadInput(f"{source.name} is a stream and cannot be shuffled: leave the seed out")
        order = np.random.default_rng(seed).permutation(source.n_documents)
    arrange = {"pack": pack, "document": one_a_row}
    if packing not in arrange:
        raise BadInput(f"packing {packing!r}: give pack or document")

    def rows() -> Iterator[Row]:
        documents = _tokenized(source, model, order)
        return arrange[packing](documents, length=length, frame=frame)

    return Corpus(
        name=source.name,
        hash=sha256_json(
            {
                "schema": _SCHEMA,
                "source": source.digest,
                "tokenizer": model.facts.digest,
                "special": [model.special_tokens.bos_id, model.special_tokens.eos_id]
                + [model.special_tokens.pad_id, *model.special_tokens.special_ids],
                "length": length,
                "packing": packing,
                "frame": frame,
                "labels": label_names,
                "seed": seed,
            }
        ),
        tokenizer_digest=model.facts.digest,
        length=length,
        bos=model.describe(frame, packed=packing == "pack"),
        n_sequences=None,
        d_vocab=model.d_vocab,
        special_tokens=model.special_tokens,
        label_names=label_names,
        label_values=source.scheme.values,
        rows=rows,
        token_strings=model.token_strings,
        hash_is_whole=source.digest_is_whole,
    )


def _tokenized(
    source: Source, model: TextModel, order: Int[np.ndarray, " documents"] | None
) -> Iterator[TokenDocument]:
    documents = source.read(None if order is None else order.tolist())
    number, forms = 0, _Forms(source.scheme.names)
    while chunk := list(islice(documents, _TOKENIZED_AT_ONCE)):
        needed = any(isinstance(label, _ON_TEXT) for d in chunk for label in d.labels)
        for encoded, document in zip(model.encode(chunk, offsets=needed), chunk, strict=True):
            forms.check(document)
            original = number if order is None else int(order[number])
            yield TokenDocument(original, encoded.ids, _numbers(document, encoded, source.scheme))
            number += 1


class _Forms:
    """Whether each label is of whole documents or of tokens: as in the first document."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._first: list[bool] | None = None

    def check(self, document: Document) -> None:
        """BadInput where a label is given in another form than before."""
        forms = [isinstance(label, _ON_TEXT) for label in document.labels]
        self._first = self._first or forms
        for name, one, other in zip(self._names, forms, self._first, strict=True):
            if one != other:
                raise BadInput(
                    f"{document.where}: label {name!r} is a list here and one value elsewhere, or "
                    "the other way: give it alike in all documents"
                )


def _numbers(document: Document, encoded: Encoded, scheme: LabelScheme) -> tuple[Any, ...]:
    """A number for the whole document, or one for each of its ids, by label."""
    text = document.content if isinstance(document.content, str) else None
    return tuple(
        token_labels(
            label,
            name=name,
            scheme=scheme,
            text=text,
            offsets=encoded.offsets,
            n_tokens=len(encoded.ids),
            where=document.where,
        )
        if isinstance(label, _ON_TEXT)
        else scheme.coded(label, name, document.where)
        for name, label in zip(scheme.names, document.labels, strict=True)
    )


def _open_source(source: Any, *, split: str, field: str, labels: tuple[str, ...]) -> Source:
    if isinstance(source, Path) or (isinstance(source, str) and _is_path(source)):
        return file_source(Path(source).expanduser(), field=field, labels=labels)
    if isinstance(source, str):
        return hub_source(source, split=split, field=field, labels=labels)
    from datasets import Dataset, IterableDataset

    if isinstance(source, Dataset):
        return dataset_source(source, name=_name(source), field=field, labels=labels)
    if isinstance(source, IterableDataset):
        return stream_source(source, name=_name(source), field=field, labels=labels)
    raise BadInput(
        f"a {type(source).__name__} is no text source: give a path, a hub name, a datasets.Dataset "
        "or IterableDataset of one split, or an integer array"
    )


def _is_path(source: str) -> bool:
    """Whether a string means a file: it exists, ends like one, or cannot be a hub name."""
    path = Path(source).expanduser()
    looks_like_one = source.startswith((".", "/", "~")) or source.count("/") > 1
    return looks_like_one or path.suffix in (*SUFFIXES, ".npy") or path.exists()


def _require_something(source: Source, model: TextModel) -> None:
    first: Document | None = next(source.read([0] if source.n_documents else None), None)
    if first is None:
        raise BadInput(f"{source.name} holds no document: the source is empty")
    if isinstance(first.content, str) and not model.facts.present:
        raise BadInput(
            f"{model.name} has no tokenizer, so text cannot become tokens: give ready ids, as a "
            ".npy array or a field that holds lists of ids"
        )


def _ready_ids(source: Any) -> np.ndarray | None:
    if isinstance(source, np.ndarray):
        ids = source
    elif isinstance(source, str | Path) and Path(source).suffix == ".npy":
        try:
            ids = np.load(Path(source).expanduser(), allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BadInput(f"cannot read {source} as an array: {error}") from error
    else:
        return None
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        raise BadInput(
            f"{_name(source)} is {ids.dtype} of shape {ids.shape}: ready ids are integers of shape "
            "(sequences, length)"
        )
    return ids.astype(np.int64)


def _from_array(
    ids: Int[np.ndarray, "sequences pos"], model: TextModel, length: int, name: str
) -> Corpus:
    if ids.shape[1] != length:
        raise BadInput(f"{name} has sequences of {ids.shape[1]} tokens, length {length} was asked")
    strings = model.token_strings() if model.facts.present else None
    return Corpus.from_tokens(
        ids,
        special_tokens=SpecialTokens(
            bos_id=model.facts.bos_id,
            eos_id=model.facts.eos_id,
            pad_id=model.facts.pad_id,
            special_ids=model.special_tokens.special_ids,
        ),
        d_vocab=model.d_vocab,
        tokenizer_digest=model.facts.digest,
        token_strings=strings,
        name=name,
    )


def _name(source: Any) -> str:
    if isinstance(source, str | Path):
        return str(source)
    if isinstance(source, np.ndarray):
        return "ready tokens"
    info = getattr(source, "info", None)
    return getattr(info, "dataset_name", None) or type(source).__name__
