"""Hits: positions of a span that a head looked at when it wrote the token that stands there."""

from collections import Counter

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.heads.retrieval.decoding import Decoded
from interp.heads.retrieval.haystack import Span

SOLVED = 0.5
"""Share of the needle's tokens that must be written for a run to count (ROUGE-1 recall)."""


def hit_positions(decoded: Decoded) -> Int[np.ndarray, "steps n_layers n_heads"]:
    """At every step the position a head looked at, if it holds the token written; else -1.

    A position that a head hit before is -1 too: a model that repeats itself would have a head score
    above 1.
    """
    looked, tokens = decoded.looked, decoded.tokens
    hits = np.where(tokens[looked] == decoded.written[:, None, None], looked, -1)
    for step in range(1, len(hits)):
        hits[step][(hits[:step] == hits[step]).any(axis=0)] = -1
    return hits


def retrieval_share(
    hits: Int[np.ndarray, "steps n_layers n_heads"], span: Span
) -> Float[np.ndarray, "n_layers n_heads"]:
    """Share of the span's positions that each head hit: |g_h ∩ k| / |k| (arXiv 2404.15574)."""
    return _inside(hits, span).sum(axis=0) / (span.stop - span.start)


def looking_share(decoded: Decoded) -> Float[np.ndarray, "n_layers n_heads"]:
    """Share of steps at which each head looked into the needle, whatever was written."""
    if not len(decoded.written):
        return np.zeros(decoded.looked.shape[1:])
    return _inside(decoded.looked, decoded.haystack.needle).mean(axis=0)


def recall(decoded: Decoded) -> float:
    """Share of the needle's tokens that were written, each as often as it stands there at most."""
    needle = decoded.haystack.needle
    wanted = Counter(decoded.haystack.tokens[needle.start : needle.stop].tolist())
    written = Counter(decoded.written.tolist())
    return (wanted & written).total() / wanted.total()


def random_span(decoded: Decoded, rng: np.random.Generator) -> Span:
    """Another span as long as the needle: of those alike, or anywhere in the prompt beside it."""
    haystack = decoded.haystack
    if haystack.elsewhere:
        return haystack.elsewhere[int(rng.integers(len(haystack.elsewhere)))]
    length, needle = haystack.n_needle, haystack.needle
    last = len(haystack.tokens) - length
    starts = [s for s in range(last + 1) if s + length <= needle.start or s >= needle.stop]
    start = int(rng.choice(starts))
    return Span(start, start + length)


def _inside(positions: Int[np.ndarray, "..."], span: Span) -> Bool[np.ndarray, "..."]:
    return (positions >= span.start) & (positions < span.stop)
