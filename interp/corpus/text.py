"""TextModel: how one model turns text into ids, and what it puts around them."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from interp.corpus.corpus import SpecialTokens
from interp.corpus.documents import Document
from interp.corpus.packing import Frame
from interp.models.hub import fetch
from interp.models.reference import ModelReference, resolve
from interp.models.tokenizer import (
    TokenizerFacts,
    load_tokenizer,
    read_json,
    token_strings,
    tokenizer_facts,
)
from interp.results.errors import BadInput, Unsupported

_NO_TOKENIZER = TokenizerFacts(
    present=False,
    n_tokens=None,
    bos_id=None,
    eos_id=None,
    pad_id=None,
    unk_id=None,
    prefix=(),
    suffix=(),
    special_ids=(),
    digest=None,
)


class Encoded(NamedTuple):
    """A document as ids."""

    ids: Int[np.ndarray, " n"]
    offsets: Int[np.ndarray, "n 2"] | None
    """The first character of each id, and the one after its last; None unless asked for."""


@dataclass(frozen=True, kw_only=True)
class TextModel:
    """A tokenizer, what its files say, and the size of the vocabulary of the model it is for."""

    name: str
    facts: TokenizerFacts
    tokenizer: Any
    """A transformers tokenizer, or None."""
    d_vocab: int | None

    @property
    def special_tokens(self) -> SpecialTokens:
        """The special ids, those of the frame included."""
        facts = self.facts
        return SpecialTokens(
            bos_id=facts.bos_id,
            eos_id=facts.eos_id,
            pad_id=facts.pad_id,
            special_ids=tuple(sorted({*facts.special_ids, *facts.prefix, *facts.suffix})),
        )

    def encode(self, documents: list[Document], *, offsets: bool = False) -> list[Encoded]:
        """The ids of each document, without BOS or EOS; ready ids as they are.

        A special token spelt out in a text is read as text, where the vocabulary allows it. With
        `offsets` the characters of each id come too; Unsupported if the tokenizer does not say.
        """
        texts = [d.content for d in documents if isinstance(d.content, str)]
        if texts and self.tokenizer is None:
            where = next(d.where for d in documents if isinstance(d.content, str))
            raise BadInput(f"{where} is text, and {self.name} has no tokenizer to read it with")
        if texts and offsets and not self.tokenizer.is_fast:
            raise Unsupported(
                f"the tokenizer of {self.name} does not say which characters a token is made of, "
                "so labels of words or spans cannot be put on tokens: give one value a token id"
            )
        encoded = iter(self._encode_texts(texts, offsets))
        return [
            next(encoded) if isinstance(d.content, str) else Encoded(_ids(d.content), None)
            for d in documents
        ]

    def _encode_texts(self, texts: list[str], offsets: bool = False) -> list[Encoded]:
        if not texts:
            return []
        # A text that spells out "</s>" is text: only the frame makes a document end.
        found = self.tokenizer(
            texts,
            add_special_tokens=False,
            split_special_tokens=True,
            verbose=False,
            **({"return_offsets_mapping": True} if offsets else {}),
        )
        places = found["offset_mapping"] if offsets else [None] * len(texts)
        return [
            Encoded(_ids(ids), None if place is None else _ids(place).reshape(-1, 2))
            for ids, place in zip(found["input_ids"], places, strict=True)
        ]

    @property
    def text_makes_special_tokens(self) -> bool:
        """Whether a special token spelt out in text becomes that token all the same.

        So it is where the special token is also a plain entry of the vocabulary, as in word-level
        and many unigram vocabularies.
        """
        if self.tokenizer is None:
            return False
        special = [i for i in self.special_tokens.special_ids if i < len(self.tokenizer)]
        spelt = [f"a {self.tokenizer.convert_ids_to_tokens(i)} b" for i in special]
        return any(not set(special).isdisjoint(e.ids.tolist()) for e in self._encode_texts(spelt))

    def frame(self, add_bos: bool | Literal["auto"], *, packed: bool) -> Frame:
        """What goes around text; BadInput if BOS is asked of a tokenizer without one."""
        facts = self.facts
        if add_bos is False:
            prefix, suffix = (), ()
        else:
            prefix, suffix = facts.prefix, facts.suffix
        if add_bos is True and not prefix:
            if facts.bos_id is None:
                raise BadInput(f"{self.name} has no BOS token: leave add_bos at auto")
            prefix = (facts.bos_id,)
        if not packed:
            return Frame(prefix, suffix, ())
        ends = [(i,) for i in (facts.eos_id, facts.bos_id) if i is not None]
        return Frame(prefix, (), facts.suffix or next(iter(ends), ()))

    def describe(self, frame: Frame, *, packed: bool) -> str:
        """`frame` in words."""
        habit = "as its tokenizer does" if frame.prefix == self.facts.prefix else "on request"
        spelt = ""
        if self.text_makes_special_tokens:
            spelt = "; a special token spelt out in the text becomes that token"
        start = "no BOS before a sequence"
        if frame.prefix:
            start = f"every sequence starts with {self._shown(frame.prefix)}, {habit}"
        if packed:
            gap = f"followed by {self._shown(frame.separator)}" if frame.separator else "not marked"
            return f"{start}; documents are packed end to end, the end of each {gap}{spelt}"
        end = f", with {self._shown(frame.suffix)} at its end" if frame.suffix else ""
        return f"{start}; one document a row{end}{spelt}"

    def token_strings(self) -> list[str] | None:
        """How each id looks to a person, special characters kept; None without a tokenizer."""
        if self.tokenizer is None:
            return None
        return token_strings(self.tokenizer, self.d_vocab)

    def _shown(self, ids: tuple[int, ...]) -> str:
        if self.tokenizer is None:
            return " ".join(f"id {i}" for i in ids)
        return " ".join(f"{self.tokenizer.convert_ids_to_tokens(i)} (id {i})" for i in ids)


def _ids(numbers: Any) -> Int[np.ndarray, "..."]:
    return np.array(numbers, dtype=np.int64)


def open_text_model(model: Any) -> TextModel:
    """The text model of a directory, a name that `load` takes, a tokenizer, or of nothing."""
    if model is None:
        return TextModel(name="no model", facts=_NO_TOKENIZER, tokenizer=None, d_vocab=None)
    if isinstance(model, ModelReference):
        reference = model
    elif isinstance(model, str | Path):
        reference = resolve(str(model))
    elif callable(getattr(model, "save_pretrained", None)) and hasattr(model, "encode"):
        with TemporaryDirectory() as directory:
            model.save_pretrained(directory)
            facts = tokenizer_facts(Path(directory))
        name = type(model).__name__
        return TextModel(name=name, facts=facts, tokenizer=model, d_vocab=None)
    else:
        raise BadInput(
            f"a {type(model).__name__} cannot tokenize: give a model's name, its directory, or a "
            "tokenizer"
        )
    return _of_directory(reference)


def _of_directory(reference: ModelReference) -> TextModel:
    directory = fetch(reference).path
    if directory is None:
        raise BadInput(f"{reference.name} has no files")
    config = read_json(directory / "config.json")
    d_vocab = config.get("vocab_size")
    return TextModel(
        name=reference.name,
        facts=tokenizer_facts(directory),
        tokenizer=load_tokenizer(directory),
        d_vocab=d_vocab if isinstance(d_vocab, int) else None,
    )
