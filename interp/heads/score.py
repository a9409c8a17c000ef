"""Score the heads of a model: detectors that are fed the same share every forward pass."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.corpus import Corpus
from interp.corpus.relations import RelationCorpus, open_relations
from interp.corpus.sources import Packing, open_corpus
from interp.heads.attention.batch import HeadBatch
from interp.heads.attention.geometry import HeadGeometry
from interp.heads.attention.reading import read_layers
from interp.heads.choosing import check_options, choose, kind_fed
from interp.heads.detector import Detector, Scoring, ScoringObserver
from interp.heads.documents import digests
from interp.heads.joining import joined
from interp.heads.loaded import hash_as_loaded
from interp.heads.scores import HeadScores
from interp.heads.streams import Stream, random_stream, relation_stream, text_stream
from interp.heads.tokens import regular_tokens, repeated_tokens
from interp.models.context import length_within
from interp.models.load import load, reference_of
from interp.results.errors import BadInput
from interp.results.processes import check_alone
from interp.results.progress import progress


def score_heads(
    model: TransformerBridge | str | Path,
    detectors: Sequence[str | Detector] | None = None,
    *,
    text: Any = None,
    relations: Any = None,
    items: Path | None = None,
    length: int | None = None,
    sequences: int = 200,
    draws: int = 10_000,
    bootstrap: int = 2_000,
    controls: int = 10,
    batch_size: int = 8,
    packing: Packing = "document",
    field: str = "text",
    seed: int = 0,
    device: str = "cpu",
    command: str = "interp.score_heads",
    **options: Any,
) -> HeadScores:
    """Every head under every detector, with its null, interval and p corrected for all heads.

    `detectors` are names from `registry` or detectors of your own; without them, all that share
    forward passes and whose input is there. `text` is what `open_corpus` takes, `relations` what
    `open_relations` takes; without `text` the sequences of `relations` serve as text in the same
    forward passes. `sequences` are read of the text and made of random tokens, of `length` tokens
    (128, or the context if that is shorter). `options` are for detectors that read them (`pattern`,
    `offsets`, `classes`).

    Raises BadInput for a detector that is not there or lacks its input, an option that none reads
    and for sequences longer
    than the context, Unsupported for a model without attention patterns.
    """
    check_alone("scoring heads")
    check_options(options, detectors or ())
    bridge = model if isinstance(model, TransformerBridge) else load(model, device=device)
    geometry = HeadGeometry.of(bridge)
    related = None if relations is None else open_relations(relations, bridge, length=length)
    chosen = choose(detectors, text=text, relations=related, items=items)
    corpus = None
    if text is not None and any(kind_fed(detector) == "text" for detector in chosen):
        corpus = _corpus(text, bridge, length, packing=packing, field=field)
    streams = _streams(
        chosen, bridge, corpus, related, length=length, sequences=sequences, seed=seed
    )
    scoring = Scoring(
        bridge=bridge,
        geometry=geometry,
        model_hash=hash_as_loaded(bridge),
        command=command,
        draws=draws,
        bootstrap=bootstrap,
        controls=controls,
        seed=seed,
        batch_size=batch_size,
        corpus_hashes={kind: stream.hash for kind, stream in streams.items()},
        lengths={kind: stream.length for kind, stream in streams.items()},
        inputs={kind: stream.description for kind, stream in streams.items()},
        text=text,
        relations=related,
        items=items,
        options=options,
    )
    found = joined([*scored(scoring, chosen, streams).values()])
    if related is None or "relations" not in streams:
        return found
    return replace(found, documents={related.hash: digests(related)})


def scored(
    scoring: Scoring, chosen: Sequence[Detector], streams: Mapping[str, Stream]
) -> dict[str, HeadScores]:
    """What each detector found, in the order given; every stream is read once."""
    observers = {
        detector.name: (kind_fed(detector), detector.observe(scoring))
        for detector in chosen
        if detector.observe is not None
    }
    read: set[int] = set()
    for stream in streams.values():
        if id(stream) not in read:
            kinds = {kind for kind, other in streams.items() if other is stream}
            _read(scoring, stream, [one for kind, one in observers.values() if kind in kinds])
            read.add(id(stream))
    found = {name: observer.finish() for name, (_, observer) in observers.items()}
    for detector in chosen:
        if detector.run is not None:
            if detector.cost is not None:
                print(detector.cost(scoring), file=sys.stderr, flush=True)  # noqa: T201
            found[detector.name] = detector.run(scoring)
    for detector in chosen:
        if detector.derive is not None:
            found[detector.name] = detector.derive(scoring, found)
    return {detector.name: found[detector.name] for detector in chosen}


def _read(scoring: Scoring, stream: Stream, observers: list[ScoringObserver]) -> None:
    if not observers:
        return
    with progress("reading heads", total=stream.n_sequences, unit="sequences") as advance:

        def counted() -> Iterator[HeadBatch]:
            for batch in stream.batches(scoring.batch_size):
                yield batch
                advance(batch.size)

        read_layers(scoring.bridge, counted(), observers, geometry=scoring.geometry)


def _corpus(
    text: Any, bridge: TransformerBridge, length: int | None, *, packing: Packing, field: str
) -> Corpus:
    return open_corpus(
        text,
        reference_of(bridge) or bridge.tokenizer,
        length=length_within(bridge, length),
        packing=packing,
        field=field,
    )


def _streams(
    chosen: Sequence[Detector],
    bridge: TransformerBridge,
    corpus: Corpus | None,
    related: RelationCorpus | None,
    *,
    length: int | None,
    sequences: int,
    seed: int,
) -> dict[str, Stream]:
    """What the detectors are fed, by kind; without a text the relations' sequences are the text."""
    if sequences < 1:
        raise BadInput(f"{sequences} sequences: read at least 1")
    fed = {kind_fed(detector) for detector in chosen}
    streams: dict[str, Stream] = {}
    if related is not None and ("relations" in fed or ("text" in fed and corpus is None)):
        streams["relations"] = relation_stream(related)
    if "text" in fed:
        streams["text"] = (
            streams["relations"] if corpus is None else text_stream(corpus, sequences=sequences)
        )
    if "repeated" in fed:
        length = length_within(bridge, length)
        regular = regular_tokens(bridge)
        tokens = repeated_tokens(regular, sequences=sequences, length=length, seed=seed)
        streams["repeated"] = random_stream(tokens)
    return streams
