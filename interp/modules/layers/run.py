"""Run a model over a text and report what its layers share and which it could do without."""

from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.store import ActivationStore
from interp.corpus.corpus import Corpus, TokenBatch
from interp.corpus.sources import Packing, open_corpus
from interp.models.context import length_within, refuse_beyond_context
from interp.models.identity import model_hash
from interp.models.load import load, reference_of
from interp.modules.layers.analysis import Estimator, LayerAnalysis
from interp.modules.layers.blocks import n_blocks, resid_post
from interp.modules.layers.cka import FEWEST, LayerCka, MinibatchCka, biased_floor
from interp.modules.layers.clusters import cluster_layers
from interp.modules.layers.effects import evaluation_of, remove_each, shorten
from interp.modules.layers.line import POINTS, loss_along_line
from interp.modules.layers.reading import PoolingOfStates, read_batches
from interp.modules.layers.sharing import each_once
from interp.modules.layers.stored import cka_of_store
from interp.results.errors import BadInput, Mismatch
from interp.results.progress import progress
from interp.results.provenance import Provenance

_SITE = "blocks.{}.hook_resid_post"


def analyse_layers(
    model: str | Path | TransformerBridge,
    data: Any,
    *,
    store: ActivationStore | Path | str | None = None,
    n_clusters: int | None = None,
    remove: bool = True,
    swaps: bool = False,
    draws: int = 20,
    to: str | Path | None = None,
    points: int = POINTS,
    n_sequences: int = 512,
    n_evaluated: int = 128,
    minibatch: int = 64,
    pooling: PoolingOfStates = "weighted",
    estimator: Estimator = "debiased",
    length: int | None = None,
    packing: Packing = "document",
    field: str = "text",
    batch_size: int = 16,
    seed: int = 0,
    device: str = "auto",
    command: str = "analyse_layers",
) -> LayerAnalysis:
    """Similarity and clusters of all layers; on other sequences, what is lost with fewer of them.

    CKA is counted on the first `n_sequences` in minibatches, losses on the next `n_evaluated`; a
    shorter text is parted in proportion. With a `store` of what every block hands on, CKA is taken
    from that. Without `n_clusters` the largest fall in the similarity of neighbours decides.
    `remove` skips each layer, `swaps` puts every layer in every place, `draws`
    random choices of as many layers stand beside the shortened model, and `to` is a checkpoint of
    the same shape to which the loss is followed along a line. Sequences have `length` tokens, 128
    or the model's context if not given. Under `torchrun` the ranks share the
    work, and all return what one process does.

    Raises Unsupported for a model that is not a decoder, BadInput for too little text or clusters
    that the layers cannot make, Mismatch for a checkpoint of another shape.
    """
    bridge = model if isinstance(model, TransformerBridge) else load(model, device=device)
    n = n_blocks(bridge)
    if n < 2:
        raise BadInput(f"a model of {n} layer: at least 2 are needed to compare")
    corpus = data if isinstance(data, Corpus) else open_corpus(
        data, reference_of(bridge) or bridge.tokenizer, length=length_within(bridge, length),
        packing=packing, field=field,
    )  # fmt: skip
    refuse_beyond_context(bridge, corpus.length)
    other = None if to is None else load(to, device=device)
    seen, unseen = _parted(corpus, batch_size, n_sequences, n_evaluated)
    how = {"pooling": pooling, "estimator": estimator, "minibatch": minibatch, "seed": seed}
    if store is None:
        found, d_model = _similarity(bridge, seen, n, **how)
    else:
        opened = _matching(store, bridge, n)
        d_model = int(np.prod(opened.shape(_SITE.format(0))))
        found = cka_of_store(opened, sites=_SITE.format("*"), n_sequences=n_sequences, **how)
    clusters = cluster_layers(found.cka, n_clusters)
    asked = evaluation_of(bridge, unseen, pooling=pooling, estimator=estimator, seed=seed)
    steps = (n * (1 + n * swaps) if remove else 0) + draws + 3 + (points if other else 0)
    with progress("layers", total=steps, unit="models") as advance:
        removal = remove_each(asked, swaps=swaps, advance=advance) if remove else None
        shortened = shorten(asked, clusters.centres(), draws=draws, advance=advance)
        line = None if other is None else loss_along_line(
            bridge, other, unseen, name=str(to), other_hash=_hash(other), points=points,
            seed=seed, advance=advance,
        )  # fmt: skip
    return LayerAnalysis(
        estimator=estimator,
        cka=found.cka,
        cka_error=found.error,
        cka_null=found.null,
        floor=biased_floor(found.minibatch, d_model) if estimator == "biased" else 0.0,
        n_sequences=found.n,
        minibatch=found.minibatch,
        d_model=d_model,
        pooling=pooling,
        clusters=clusters.labels,
        merges=clusters.merges,
        contrast=clusters.contrast,
        contrast_null=clusters.contrast_null,
        contrast_p=clusters.p,
        n_evaluated=len(asked.whole.loss),
        loss=asked.whole.mean_loss(),
        removal=removal,
        shortened=shortened,
        line=line,
        provenance=Provenance.collect(
            command,
            model_hash=_hash(bridge),
            corpus_hash=corpus.hash,
            seed=seed,
            settings={
                "n_clusters": n_clusters,
                "store": store is not None,
                "draws": draws,
                "n_sequences": n_sequences,
                "n_evaluated": n_evaluated,
                "minibatch": minibatch,
                "pooling": pooling,
                "estimator": estimator,
                "swaps": swaps,
                "to": None if to is None else str(to),
                "points": points,
                "length": corpus.length,
            },
        ),
    )


def _similarity(
    bridge: TransformerBridge,
    batches: list[TokenBatch],
    n_layers: int,
    *,
    pooling: PoolingOfStates,
    estimator: Estimator,
    minibatch: int,
    seed: int,
) -> tuple[LayerCka, int]:
    """CKA of what the blocks hand on, and the width of it."""
    sites = [resid_post(bridge, layer) for layer in range(n_layers)]
    minibatches = _minibatches(batches, minibatch)

    def counted(number: int) -> tuple[MinibatchCka, int]:
        read = read_batches(bridge, minibatches[number], sites=sites, pooling=pooling)
        part = MinibatchCka(biased=estimator == "biased", seed=seed)
        part.update(read.states, number=number)
        return part, read.states.shape[2]

    whole = MinibatchCka()
    parts = each_once([partial(counted, number) for number in range(len(minibatches))])
    for part, _ in parts:
        whole.merge(part)
    return whole.finish(), parts[0][1]


def _matching(
    store: ActivationStore | Path | str, bridge: TransformerBridge, n_layers: int
) -> ActivationStore:
    """The store, if it holds what all blocks of this model hand on."""
    opened = store if isinstance(store, ActivationStore) else ActivationStore.open(store)
    expected, found = _hash(bridge), opened.provenance.model_hash
    if expected is not None and found != expected:
        raise Mismatch(f"{opened.path} was captured from another model: capture this one again")
    for layer in range(n_layers):
        opened.shape(_SITE.format(layer))
    return opened


def _minibatches(batches: list[TokenBatch], size: int) -> list[list[TokenBatch]]:
    """The sequences in even parts of at least `size`, or one part where there are fewer."""
    n = sum(len(batch.tokens) for batch in batches)
    part_of = np.arange(n) * max(1, n // size) // max(n, 1)
    return [_chosen(batches, part_of == part) for part in np.unique(part_of)]


def _parted(
    corpus: Corpus, batch_size: int, n_sequences: int, n_evaluated: int
) -> tuple[list[TokenBatch], list[TokenBatch]]:
    """Batches for similarity and batches for losses; sequences without two text tokens are out."""
    wanted = -(-(n_sequences + n_evaluated) // batch_size)
    batches = list(islice(corpus.batches(batch_size), wanted))
    have = sum(len(batch.tokens) for batch in batches)
    first = min(n_sequences, have * n_sequences // (n_sequences + n_evaluated))
    if first < FEWEST or have - first < FEWEST:
        raise BadInput(
            f"{corpus.name} holds {have} sequences of {corpus.length} tokens: layers need at least "
            f"{2 * FEWEST}, some for similarity and others for losses. Give more text or a smaller "
            "length"
        )
    numbers = np.arange(have) < first
    return _chosen(batches, numbers), _chosen(batches, ~numbers)


def _chosen(batches: list[TokenBatch], wanted: np.ndarray) -> list[TokenBatch]:
    found, start = [], 0
    for batch in batches:
        n = len(batch.tokens)
        text = (batch.attention_mask & ~batch.special)[:, 1:].any(axis=1)
        keep = wanted[start : start + n] & text
        start += n
        if keep.any():
            found.append(_rows(batch, keep))
    return found


def _rows(batch: TokenBatch, keep: np.ndarray) -> TokenBatch:
    fields = {name: getattr(batch, name) for name in TokenBatch.__dataclass_fields__}
    labels = {name: column[keep] for name, column in fields.pop("labels").items()}
    return TokenBatch(**{name: value[keep] for name, value in fields.items()}, labels=labels)


def _hash(bridge: TransformerBridge) -> str | None:
    reference = reference_of(bridge)
    return None if reference is None or reference.path is None else model_hash(reference.path)
