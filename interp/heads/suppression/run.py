"""Measures what copy suppression explains of some heads, on a text."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.sources import open_corpus
from interp.heads.attention import HeadGeometry, read_layers
from interp.heads.columns import Head
from interp.heads.loaded import hash_as_loaded
from interp.heads.streams import text_stream
from interp.heads.suppression.effect import SuppressionEffect
from interp.heads.suppression.means import MeanOutputs
from interp.heads.suppression.measure import SuppressionMeasure
from interp.models.context import length_within
from interp.models.load import load, reference_of
from interp.results.errors import BadInput
from interp.results.provenance import Provenance


def explained_suppression(
    model: TransformerBridge | str | Path,
    heads: Iterable[tuple[int, int]],
    *,
    text: Any,
    sequences: int = 100,
    length: int | None = None,
    positions: int = 10,
    share: float = 0.05,
    draws: int = 9,
    bootstrap: int = 2_000,
    batch_size: int = 4,
    seed: int = 0,
    device: str = "cpu",
    command: str = "interp.heads.suppression.explained_suppression",
) -> SuppressionEffect:
    """How much of each head's direct effect on the predictions copy suppression explains.

    `positions` places of each sequence are read, `share` is how many of the sources in view count
    as predicted. Later layers and the final norm see the head as it is (the direct effect), as in
    the paper. One forward pass a batch without logits for the means, one with logits, and
    2 + `draws` unembeddings a place and head. Raises BadInput for heads that are not there.
    """
    bridge = model if isinstance(model, TransformerBridge) else load(model, device=device)
    geometry = HeadGeometry.of(bridge)
    chosen = _checked(heads, geometry)
    fed = length_within(bridge, length)
    corpus = open_corpus(text, reference_of(bridge) or bridge.tokenizer, length=fed)
    stream = text_stream(corpus, sequences=sequences)
    means = MeanOutputs(chosen)
    read_layers(bridge, stream.batches(batch_size), [means], geometry=geometry)
    measure = SuppressionMeasure(
        geometry,
        heads=chosen,
        means=means.finish(),
        positions=positions,
        share=share,
        draws=draws,
        seed=seed,
    )
    for batch in stream.batches(batch_size):
        measure.read(batch)
    settings = {
        "heads": [str(head) for head in chosen],
        "sequences": sequences,
        "length": fed,
        "positions": positions,
        "share": share,
        "draws": draws,
        "bootstrap": bootstrap,
    }
    provenance = Provenance.collect(
        command,
        model_hash=hash_as_loaded(bridge),
        corpus_hash=corpus.hash,
        seed=seed,
        settings=settings,
    )
    return measure.finish(bootstrap, provenance, settings)


def _checked(heads: Iterable[tuple[int, int]], geometry: HeadGeometry) -> tuple[Head, ...]:
    chosen = tuple(Head(*head) for head in heads)
    for head in chosen:
        if not (0 <= head.layer < geometry.n_layers and 0 <= head.head < geometry.n_heads):
            raise BadInput(
                f"no head {head}: {geometry.name} has {geometry.n_layers} layers of "
                f"{geometry.n_heads} heads"
            )
    if not chosen:
        raise BadInput("no head was given: name some, as (10, 7)")
    return chosen
