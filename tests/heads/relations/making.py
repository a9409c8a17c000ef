"""Random corpora with relations, and the relation score written out as loops over single events."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.relations import Entity, RelatedSequence, RelationCorpus, Triplet
from interp.heads.relations.choices import RelationChoices
from interp.heads.relations.events import EventPlan, SequenceEvents
from tests.models import D_VOCAB


def random_corpus(
    *, n: int = 6, length: int = 20, n_entities: int = 6, n_triplets: int = 4, seed: int = 0
) -> RelationCorpus:
    """Entities of one or two tokens and two types, mentioned once or twice, related at random."""
    rng = np.random.default_rng(seed)
    sequences = []
    for document in range(n):
        size = length - int(rng.integers(0, 5))
        tokens = rng.integers(4, D_VOCAB, size)
        tokens[0] = 1
        starts = np.sort(rng.choice(np.arange(1, size - 1, 2), n_entities, replace=False))
        mentions = [(int(s), int(s) + int(rng.integers(1, 3))) for s in starts]
        entities = [
            Entity(str(i), "AB"[i % 2], (mention,)) for i, mention in enumerate(mentions[:-1])
        ]
        # The last place is a second mention of the first entity, with its own tokens again.
        first = entities[0]
        start, stop = mentions[-1][0], mentions[-1][0] + first.mentions[0][1] - first.mentions[0][0]
        tokens[start:stop] = tokens[slice(*first.mentions[0])]
        entities[0] = first._replace(mentions=(first.mentions[0], (start, stop)))
        triplets = []
        for i in range(n_triplets):
            head, tail = rng.choice(len(entities), 2, replace=False)
            triplets.append(Triplet(int(head), i % 2, int(tail)))
        sequences.append(RelatedSequence(tokens, tuple(entities), tuple(triplets), document))
    return RelationCorpus.from_sequences(sequences, relations=["r", "s"])


@torch.no_grad()
def literally(
    bridge: TransformerBridge, corpus: RelationCorpus, plan: EventPlan
) -> dict[str, dict[tuple[int, int, int], Any]]:
    """Sums by (row of the tally, layer, head), one sequence and one event at a time."""
    sums: dict[str, Any] = {
        name: defaultdict(float)
        for name in ("n_gated", "n_undefined", "weight", "share", "raised", "copying", "uniform")
    }
    sums["labels"] = defaultdict(lambda: np.zeros(8))
    offset = 0
    for of in plan.sequences:
        tokens = torch.as_tensor(corpus.sequences[of.number].tokens)[None]
        _, cache = bridge.run_with_cache(tokens)
        for layer in range(len(bridge.blocks)):
            for head in range(bridge.blocks[layer].attn.W_O.shape[0]):
                seen = _seen(bridge, cache, plan.choices, tokens[0], (layer, head))
                for event, result in _events(seen, plan.choices, of):
                    key = (offset + int(of.triplet[event]), layer, head)
                    for name, value in result.items():
                        sums[name][key] += value
        offset += len(of.relation)
    return sums


class Seen(NamedTuple):
    """What one head reads and writes in one sequence."""

    attention: np.ndarray
    value: np.ndarray
    logits: Callable[[np.ndarray, int], np.ndarray]
    """Of a value at a position, over the vocabulary."""


def _seen(
    bridge: TransformerBridge,
    cache: Any,
    choices: RelationChoices,
    tokens: torch.Tensor,
    where: tuple[int, int],
) -> Seen:
    layer, head = where
    attn = bridge.blocks[layer].attn
    group = head * attn.W_V.shape[0] // attn.W_O.shape[0]
    norm = bridge.blocks[layer].ln1.original_component
    through, unembedding = _array(attn.W_O[head]), _array(bridge.W_U)
    raw = choices.input == "embedding"
    if raw:
        read = bridge.W_E[tokens]
    else:
        bias = getattr(norm, "bias", None)
        read = cache[f"blocks.{layer}.attn.hook_in"][0] - (0 if bias is None else bias)
    gain = _array(bridge.ln_final.original_component.weight)
    scale = _array(cache["ln_final.hook_scale"][0])

    behind = f"blocks.{layer}.ln1.hook_scale" if _norm_is_behind(bridge) else None

    def logits(value: np.ndarray, position: int) -> np.ndarray:
        residual = value @ through
        if not raw:
            if behind is not None:
                residual = residual * _array(norm.weight) / _array(cache[behind][0, position])
            residual = residual - (0 if bridge.cfg.uses_rms_norm else residual.mean())
            residual = residual * gain / scale[position]
        return residual @ unembedding

    return Seen(
        _array(cache[f"blocks.{layer}.attn.hook_pattern"][0, head]),
        _array(read @ attn.W_V[group]),
        logits,
    )


def _norm_is_behind(bridge: TransformerBridge) -> bool:
    return type(bridge.original_model).__name__ == "Olmo2ForCausalLM"


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def _events(
    seen: Seen, choices: RelationChoices, of: SequenceEvents
) -> Iterator[tuple[int, dict[str, Any]]]:
    for event, (t, j) in enumerate(zip(of.triplet, of.position, strict=True)):
        attention = seen.attention[j, : j + 1]
        mentions = sorted({int(k) for k in of.anchors[event] if k >= 0})
        if not _gated(attention, mentions, choices):
            continue
        everything = attention @ seen.value[: j + 1]
        write = {
            "source": attention[mentions] @ seen.value[mentions],
            "current": seen.value[j],
            "head": everything,
        }[choices.operand]
        here = np.flatnonzero((of.first_seen <= j) & of.allowed[t])
        ids = of.candidates[here]
        tail = int(np.flatnonzero(here == of.labels[t, 0])[0])
        read = seen.logits(write, int(j))[ids]
        if np.ptp(read) < 1e-6 * max(1.0, np.abs(read).max()):
            yield event, {"n_gated": 1, "n_undefined": 1}
            continue
        weight = float(attention[mentions].sum()) if choices.gate == "none" else 1.0
        shares = _shares(read, choices)
        labels = np.zeros(8)
        for i, label in enumerate(of.labels[t]):
            if label >= 0 and of.tested[event]:
                labels[i] = shares[int(np.flatnonzero(here == label)[0])]
        result = {
            "n_gated": 1,
            "weight": weight,
            "share": weight * shares[tail],
            "raised": weight * (read[tail] - np.delete(read, tail).mean()),
            "uniform": weight / len(here),
            "copying": weight * _shares(seen.logits(everything, int(j))[ids], choices)[tail],
            "labels": weight * labels,
        }
        yield event, result


def _shares(logits: np.ndarray, choices: RelationChoices) -> np.ndarray:
    values = logits
    if choices.read == "prob":
        values = np.exp(logits - logits.max())
        values = values / values.sum()
    above = np.maximum(0.0, values - values.mean())
    return above / above.sum()


def _gated(attention: Any, mentions: list[int], choices: RelationChoices) -> bool:
    keys = range(len(attention))
    others = [
        float(attention[k]) for k in keys if k not in mentions and (choices.sink == "keep" or k > 0)
    ]
    top, mass = max(float(attention[k]) for k in mentions), float(attention[mentions].sum())
    if choices.gate == "none":
        return True
    if choices.gate == "mass":
        return mass >= choices.alpha
    factor = choices.tau if choices.gate == "dominance" else 1.0
    passed = top > factor * max(others, default=-1.0)
    return passed and (choices.sink == "keep" or mass >= choices.least)
