"""Corpora: text in, token batches out, in one fixed order.

`open_corpus` reads text, jsonl, parquet, `datasets` objects, hub names and ready ids; each token
keeps its document, its flags and its labels. Nothing here imports torch.

    from interp.corpus import open_corpus
    corpus = open_corpus("stories.jsonl", "polyglot/base", length=128)
    batch = next(corpus.batches(16))
"""

from interp.corpus.corpus import Corpus, SpecialTokens, TokenBatch
from interp.corpus.sources import open_corpus

__all__ = ["Corpus", "SpecialTokens", "TokenBatch", "open_corpus"]
