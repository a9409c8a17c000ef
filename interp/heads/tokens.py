"""Random tokens to feed a model: of ordinary ids only, repeated or not, the rule written down."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention.batch import HeadBatch
from interp.models.load import reference_of
from interp.models.tokenizer import tokenizer_facts
from interp.results.errors import BadInput
from interp.results.hashing import sha256_bytes, sha256_json

LEAST_IDS = 8
RARE = 0.04


@dataclass(frozen=True, kw_only=True)
class RegularTokens:
    """The ids that stand for text, and how many of which kind were left out."""

    ids: Int[np.ndarray, " ids"]
    bos_id: int | None
    excluded: dict[str, int]
    rule: str
    """In words, for a person to read beside a score."""


def regular_tokens(
    bridge: TransformerBridge, *, frequencies: Float[np.ndarray, " d_vocab"] | None = None
) -> RegularTokens:
    """Ids without special, added, byte, unused and empty entries of the vocabulary.

    With `frequencies` of a corpus the most and least frequent 4% of the ids left are dropped too
    (arXiv 2209.11895 leaves out the most and least common tokens); without, all are as likely.
    Raises BadInput where fewer than 8 are left.
    """
    d_vocab = int(bridge.W_U.shape[-1])
    kinds = _kinds(bridge, d_vocab)
    kept = np.flatnonzero(kinds == "")
    names, counts = np.unique(kinds[kinds != ""], return_counts=True)
    excluded = {str(name): int(count) for name, count in zip(names, counts, strict=True)}
    rule = f"uniform over {len(kept):,} of {d_vocab:,} ids"
    if frequencies is not None:
        n_rare = int(RARE * len(kept))
        order = kept[np.argsort(frequencies[kept], kind="stable")]
        kept = np.sort(order[n_rare : len(order) - n_rare])
        excluded["among the 4% most or least frequent"] = 2 * n_rare
        rule = f"uniform over {len(kept):,} of {d_vocab:,} ids by frequency in the text"
    if len(kept) < LEAST_IDS:
        raise BadInput(
            f"{len(kept)} ids of the vocabulary stand for text: random tokens need {LEAST_IDS}"
        )
    left_out = ", ".join(f"{n:,} {name}" for name, n in excluded.items()) or "none"
    return RegularTokens(
        ids=kept,
        bos_id=_bos(bridge, d_vocab),
        excluded=excluded,
        rule=f"{rule}; left out: {left_out}",
    )


@dataclass(frozen=True, kw_only=True)
class RandomTokens:
    """Sequences of random ids, no id twice in one repeat, BOS in front where the model has one."""

    tokens: Int[np.ndarray, "sequences pos"]
    period: Int[np.ndarray, " sequences"]
    """Tokens of one repeat: those from `start + period` on have an earlier copy."""
    period_range: tuple[int, int]
    """What each `period` was drawn from, ends included."""
    start: int
    """1 where BOS stands in front, else 0."""
    regular: RegularTokens
    seed: int

    @property
    def hash(self) -> str:
        """Of the ids as fed."""
        return sha256_json([list(self.tokens.shape), sha256_bytes(self.tokens.tobytes())])

    @property
    def description(self) -> dict[str, Any]:
        """How the ids were drawn."""
        return {
            "rule": self.regular.rule,
            "periods": list(self.period_range),
            "starts_with_bos": self.start == 1,
            "seed": self.seed,
        }

    def batches(self, batch_size: int) -> Iterator[HeadBatch]:
        """Batches in order; BOS is no query."""
        for first in range(0, len(self.tokens), batch_size):
            tokens = self.tokens[first : first + batch_size]
            is_query = np.ones(tokens.shape, bool)
            is_query[:, : self.start] = False
            yield HeadBatch(
                tokens=tokens,
                attention_mask=np.ones(tokens.shape, bool),
                is_query=is_query,
                sequence=np.arange(first, first + len(tokens)),
                period=self.period[first : first + batch_size],
                start=self.start,
            )


def repeated_tokens(
    regular: RegularTokens, *, sequences: int, length: int, seed: int
) -> RandomTokens:
    """Random tokens in two to four repeats, cut at `length`.

    How long one repeat is differs between sequences (a quarter to a half of them, uniformly), so
    that a head that looks a fixed number of tokens back is not taken for one that looks for copies.
    """
    start = int(regular.bos_id is not None)
    n = length - start
    high = min(n // 2, len(regular.ids))
    # Where ids are few, periods still differ: a null needs others to draw from.
    low = min(max(n // 4, 2), max(high // 2, 2))
    if high < 3:
        raise BadInput(f"{length} tokens are too few for repeats: give at least {6 + start}")
    rng = np.random.default_rng(seed)
    period = rng.integers(low, high, size=sequences, endpoint=True)
    tokens = np.empty((sequences, length), np.int64)
    for row, one in zip(tokens, period, strict=True):
        drawn = rng.choice(regular.ids, size=int(one), replace=False)
        row[start:] = np.resize(drawn, n)
    if regular.bos_id is not None:
        tokens[:, 0] = regular.bos_id
    return RandomTokens(
        tokens=tokens,
        period=period,
        period_range=(low, high),
        start=start,
        regular=regular,
        seed=seed,
    )


def random_tokens(
    regular: RegularTokens, *, sequences: int, length: int, seed: int
) -> RandomTokens:
    """Random tokens of which none comes twice; BadInput where there are not as many ids."""
    start = int(regular.bos_id is not None)
    n = length - start
    if n > len(regular.ids):
        raise BadInput(f"{n} different tokens of {len(regular.ids)}: give a shorter length")
    rng = np.random.default_rng(seed)
    rows = [rng.choice(regular.ids, size=n, replace=False) for _ in range(sequences)]
    front = [] if regular.bos_id is None else [regular.bos_id]
    tokens = np.array([[*front, *row] for row in rows], np.int64)
    return RandomTokens(
        tokens=tokens,
        period=np.full(sequences, n),
        period_range=(n, n),
        start=start,
        regular=regular,
        seed=seed,
    )


def _bos(bridge: TransformerBridge, d_vocab: int) -> int | None:
    reference = reference_of(bridge)
    if reference is not None and reference.path is not None:
        return tokenizer_facts(reference.path).bos_id
    own = getattr(bridge.original_model.config, "bos_token_id", None)
    return own if isinstance(own, int) and 0 <= own < d_vocab else None


def _kinds(bridge: TransformerBridge, d_vocab: int) -> np.ndarray:
    """Why an id is left out, "" for those that stay."""
    kinds = np.full(d_vocab, "", dtype="U16")
    tokenizer = bridge.tokenizer
    config = bridge.original_model.config
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        token_id = getattr(config, name, None)
        if isinstance(token_id, int) and 0 <= token_id < d_vocab:
            kinds[token_id] = "special"
    if tokenizer is None:
        return kinds
    n = min(len(tokenizer), d_vocab)
    strings = tokenizer.convert_ids_to_tokens(list(range(n)))
    for token_id, (raw, text) in enumerate(zip(strings, _decoded(tokenizer, n), strict=True)):
        kinds[token_id] = kinds[token_id] or _kind(raw, text)
    kinds[n:] = "without an entry"
    kinds[[i for i in tokenizer.added_tokens_decoder if i < d_vocab]] = "added"
    kinds[[i for i in tokenizer.all_special_ids if i < d_vocab]] = "special"
    return kinds


def _decoded(tokenizer: Any, n: int) -> list[str]:
    return tokenizer.batch_decode([[i] for i in range(n)], clean_up_tokenization_spaces=False)


def _kind(raw: str | None, text: str) -> str:
    if not raw:
        return "without an entry"
    if "\ufffd" in text or (raw.startswith("<0x") and raw.endswith(">")):
        return "byte"
    if raw.strip("[]<>").startswith("unused"):
        return "unused"
    return "" if text.strip() else "blank"
