"""Corpus: token sequences in one fixed order, each token with its document and its flags.

The same text, tokenizer and settings give the same sequences under the same numbers, so that
reading can stop anywhere and go on at a sequence number. One epoch: it ends where the text ends.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from jaxtyping import Bool, Int, Shaped

from interp.corpus.packing import Row
from interp.results.errors import BadInput
from interp.results.hashing import sha256_bytes, sha256_json


@dataclass(frozen=True, kw_only=True)
class TokenBatch:
    """Some sequences, padded on the right to the corpus's length."""

    tokens: Int[np.ndarray, "batch pos"]
    attention_mask: Bool[np.ndarray, "batch pos"]
    """False on padding."""
    special: Bool[np.ndarray, "batch pos"]
    """BOS, EOS and other special tokens. The unknown token is text; padding is not special."""
    bos: Bool[np.ndarray, "batch pos"]
    document: Int[np.ndarray, "batch pos"]
    """Number of the document in the source, from 0; -1 on padding."""
    position: Int[np.ndarray, "batch pos"]
    """Position in the sequence as fed."""
    sequence: Int[np.ndarray, " batch"]
    """Running number of the sequence in the corpus."""
    labels: dict[str, Shaped[np.ndarray, "batch pos"]]
    """What the source says of each token, or of its document; where it says nothing, as on padding,
    -1, or NaN where it is a float."""


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """The ids that mean something other than text."""

    bos_id: int | None = None
    eos_id: int | None = None
    pad_id: int | None = None
    special_ids: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Token sequences of at most `length`, read in order with `batches`."""

    name: str
    """The source, as a person would say it."""
    hash: str
    """Changes whenever the fed tokens, documents or labels could change."""
    tokenizer_digest: str | None
    """None where the source held ready ids."""
    length: int
    bos: str
    """What was put before, between and after documents, in words."""
    n_sequences: int | None
    """None where only reading the text can tell."""
    d_vocab: int | None
    """Ids must be below it; None where no model said."""
    special_tokens: SpecialTokens
    label_names: tuple[str, ...]
    rows: Callable[[], Iterator[Row]]
    """Starts a new reading at sequence 0."""
    token_strings: Callable[[], list[str] | None]
    """How each id looks to a person; None without a tokenizer."""
    label_values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What the integers of a label stand for, where the source holds strings."""
    hash_is_whole: bool = True
    """False for a stream that changes unseen after its first documents, which alone are hashed."""

    def __repr__(self) -> str:
        n = "an unknown number of" if self.n_sequences is None else f"{self.n_sequences:,}"
        return f"<Corpus {self.name!r}: {n} sequences of up to {self.length}, {self.bos}>"

    def batches(self, batch_size: int, *, start: int = 0) -> Iterator[TokenBatch]:
        """Batches of `batch_size` sequences from number `start` on; the last may be smaller.

        Which sequences there are does not depend on `batch_size` or `start`. Raises BadInput if
        the source holds no token at all, or an id outside the vocabulary.
        """
        if batch_size < 1 or start < 0:
            raise BadInput(f"batch_size {batch_size} and start {start}: at least 1 and 0")
        rows = islice(self.rows(), start, None)
        first = start
        while chunk := list(islice(rows, batch_size)):
            yield self._batch(chunk, first)
            first += len(chunk)
        if first == 0:
            raise BadInput(f"{self.name} holds no token: the source is empty")

    def _batch(self, rows: list[Row], first: int) -> TokenBatch:
        shape = (len(rows), self.length)
        mask = np.arange(self.length)[None, :] < np.array([[len(row.tokens)] for row in rows])
        special = self.special_tokens
        pad = next((i for i in (special.pad_id, special.eos_id) if i is not None), 0)
        tokens = _filled(shape, [row.tokens for row in rows], mask, pad)
        self._check_ids(tokens, first)
        position = np.broadcast_to(np.arange(self.length), shape).copy()
        labels = {
            name: _filled(shape, [row.labels[i] for row in rows], mask, -1)
            for i, name in enumerate(self.label_names)
        }
        is_special = np.isin(tokens, special.special_ids) & mask
        return TokenBatch(
            tokens=tokens,
            attention_mask=mask,
            special=is_special,
            bos=_is_bos(tokens, position, special) & mask,
            document=_filled(shape, [row.document for row in rows], mask, -1),
            position=position,
            sequence=np.arange(first, first + len(rows)),
            labels=labels,
        )

    def _check_ids(self, tokens: Int[np.ndarray, "batch pos"], first: int) -> None:
        high = np.iinfo(np.int64).max if self.d_vocab is None else self.d_vocab
        wrong = (tokens < 0) | (tokens >= high)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise BadInput(
                f"{self.name}: token id {tokens[row, column]} (sequence {first + row}, position "
                f"{column}) is outside the model's vocabulary of {self.d_vocab} entries"
            )

    @classmethod
    def from_tokens(
        cls,
        tokens: Int[np.ndarray, "sequences pos"],
        *,
        attention_mask: Bool[np.ndarray, "sequences pos"] | None = None,
        document: Int[np.ndarray, "sequences pos"] | None = None,
        labels: dict[str, Shaped[np.ndarray, "sequences pos"]] | None = None,
        special_tokens: SpecialTokens | None = None,
        d_vocab: int | None = None,
        tokenizer_digest: str | None = None,
        token_strings: list[str] | None = None,
        name: str = "ready tokens",
    ) -> "Corpus":
        """A corpus of ready ids, fed as they are; each sequence is a document unless told.

        `attention_mask` may only mask on the right: False from some position to the end.
        """
        if not tokens.size:
            raise BadInput(f"{name}: an array of shape {tokens.shape} holds no token")
        mask = np.ones(tokens.shape, bool) if attention_mask is None else attention_mask
        n_kept = mask.sum(axis=1)
        if not (mask == (np.arange(tokens.shape[1]) < n_kept[:, None])).all() or not n_kept.all():
            raise BadInput(f"{name}: padding must be at the end of a sequence, and not all of it")
        of = np.broadcast_to(np.arange(len(tokens))[:, None], tokens.shape)
        of = of if document is None else document
        columns = dict(sorted((labels or {}).items()))
        special = special_tokens or SpecialTokens()

        def rows() -> Iterator[Row]:
            for i, n in enumerate(n_kept):
                kept = tuple(column[i, :n] for column in columns.values())
                yield Row(tokens[i, :n].astype(np.int64), of[i, :n].astype(np.int64), kept)

        corpus = cls(
            name=name,
            hash=_hash_arrays({"tokens": tokens, "mask": mask, "document": of, **columns}, special),
            tokenizer_digest=tokenizer_digest,
            length=tokens.shape[1],
            bos="ready ids, fed as they are",
            n_sequences=len(tokens),
            d_vocab=d_vocab,
            special_tokens=special,
            label_names=tuple(columns),
            rows=rows,
            token_strings=lambda: token_strings,
        )
        corpus._check_ids(np.where(mask, tokens, 0), 0)
        return corpus


def _filled(
    shape: tuple[int, int],
    values: list[Shaped[np.ndarray, " _"]],
    mask: Bool[np.ndarray, "batch pos"],
    filler: int,
) -> Shaped[np.ndarray, "batch pos"]:
    flat = np.concatenate(values)
    is_float = np.issubdtype(flat.dtype, np.floating)
    out = np.full(shape, np.nan if is_float else filler, np.float64 if is_float else np.int64)
    out[mask] = flat
    return out


def _is_bos(
    tokens: Int[np.ndarray, "batch pos"],
    position: Int[np.ndarray, "batch pos"],
    special: SpecialTokens,
) -> Bool[np.ndarray, "batch pos"]:
    """Where BOS stands. If it is also EOS, only at position 0: between documents it is EOS."""
    if special.bos_id is None:
        return np.zeros(tokens.shape, bool)
    is_bos = tokens == special.bos_id
    return is_bos & (position == 0) if special.bos_id == special.eos_id else is_bos


def _hash_arrays(arrays: dict[str, np.ndarray], special: SpecialTokens) -> str:
    digests = {
        name: [str(array.dtype), list(array.shape), sha256_bytes(array.tobytes())]
        for name, array in arrays.items()
    }
    ids = [special.bos_id, special.eos_id, special.pad_id, list(special.special_ids)]
    return sha256_json({"schema": "interp.corpus/1", "arrays": digests, "special": ids})
