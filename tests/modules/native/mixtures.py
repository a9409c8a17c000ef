"""A labelled text for tiny mixtures: three functions, each with words of its own, some shared."""

import numpy as np

from interp.corpus.corpus import Corpus, SpecialTokens
from tests.models import BOS, D_VOCAB, EOS, PAD

LENGTH = 16


def labelled_corpus(n_documents: int = 36, *, seed: int = 0, by: str = "document") -> Corpus:
    """Documents of one sequence, every fourth shorter; `by` tokens, each has a function itself."""
    rng = np.random.default_rng(seed)
    shape = (n_documents, LENGTH)
    function = np.broadcast_to(np.arange(n_documents)[:, None] % 3, shape).copy()
    if by == "tokens":
        function = rng.integers(-1, 3, shape)
    own = 4 + 20 * np.maximum(function, 0) + rng.integers(0, 5, shape)
    tokens = np.where(rng.random(shape) < 0.6, own, rng.integers(4, D_VOCAB, shape))
    tokens[:, 0] = BOS
    mask = np.ones(shape, bool)
    mask[3::4, 10:] = False
    return Corpus.from_tokens(
        tokens,
        attention_mask=mask,
        labels={"function": function, "weight": function / 2},
        special_tokens=SpecialTokens(
            bos_id=BOS, eos_id=EOS, pad_id=PAD, special_ids=(PAD, BOS, EOS)
        ),
        d_vocab=D_VOCAB,
    )
