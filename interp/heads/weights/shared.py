"""What the weight detectors of one call share: the circuits, and the tokens asked about."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int

from interp.heads.detector import Scoring
from interp.heads.weights.circuits import VocabularyCircuits, vocabulary_circuits

N_TOKENS = 256
"""Tokens asked about where the vocabulary has more: a share of .5 is then known to ± .06."""


def circuits_of(scoring: Scoring) -> VocabularyCircuits:
    """The circuits of the model, made once a call."""
    return scoring.shared("vocabulary circuits", lambda: vocabulary_circuits(scoring.bridge))


def asked_tokens(scoring: Scoring, n: int = N_TOKENS) -> Int[np.ndarray, " tokens"]:
    """The ids that stand for text, or `n` of them drawn at random, in order."""
    ids = scoring.regular.ids
    if len(ids) <= n:
        return ids
    return np.sort(scoring.rng("weights/tokens").choice(ids, size=n, replace=False))


def k_of(d_vocab: int, k: int = 10) -> int:
    """`k` of a vocabulary of 1,000 or more; of a smaller one 1%, at least 1.

    Ten of fifty tokens would be a fifth of them: chance must stay small for a share to say much.
    """
    return k if d_vocab >= 100 * k else max(1, d_vocab // 100)


def on_device(scoring: Scoring, ids: Int[np.ndarray, " ids"]) -> torch.Tensor:
    """Ids as a tensor beside the weights."""
    return torch.from_numpy(ids.astype(np.int64)).to(scoring.geometry.device)


def single_token(scoring: Scoring) -> Callable[[str], int | None]:
    """From a word to its id where the model's tokenizer makes one token of it, else None.

    With a blank in front where that is one token, as words stand in text; else without.
    """
    tokenizer = scoring.bridge.tokenizer

    def token(word: str) -> int | None:
        if tokenizer is None:
            return None
        for text in (f" {word}", word):
            ids = tokenizer.encode(text, add_special_tokens=False)
            known = len(ids) == 1 and ids[0] != tokenizer.unk_token_id
            if known and tokenizer.decode(ids).strip() == word:
                return int(ids[0])
        return None

    return token
