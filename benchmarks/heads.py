"""Every detector that shares forward passes, relations included, against one plain forward pass.

A random GPT-2 of 12 layers, 12 heads and 768 dimensions; 200 text sequences with triplets on them
and 200 repeated-random ones, of 128 tokens, nulls and intervals included. The plain pass is that of
transformers' own model (eager attention, no logits) over the same sequences in the same batches.
transformer-lens's `detect_head` runs for its three heads on a few of the sequences, one at a time
as it takes them; its time is a sequence's. All three go in turn, slice by slice, with the same
threads.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformer_lens.head_detector import HEAD_NAMES, detect_head
from transformer_lens.model_bridge import TransformerBridge
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model, PreTrainedTokenizerFast

from benchmarks.harness import Benchmark, PeakMemory
from interp.corpus.corpus import SpecialTokens
from interp.corpus.relations import Entity, RelatedSequence, RelationCorpus, Triplet
from interp.heads.registry import registry
from interp.heads.score import score_heads
from interp.heads.scores import HeadScores
from interp.heads.tokens import regular_tokens, repeated_tokens
from interp.models.load import load

LAYERS, HEADS, WIDTH, VOCABULARY, CONTEXT = 12, 12, 768, 50_257, 1024
SEQUENCES, LENGTH, BATCH = 200, 128, 8
ENTITIES, TRIPLETS, RELATIONS, TYPES = 16, 12, 3, 2
PEER_SEQUENCES = 16
BOS = 0


def model_and_copy() -> tuple[TransformerBridge, GPT2Model]:
    """The model behind a bridge, and the same trunk as transformers runs it."""
    config = GPT2Config(
        n_layer=LAYERS,
        n_head=HEADS,
        n_embd=WIDTH,
        n_positions=CONTEXT,
        vocab_size=VOCABULARY,
        bos_token_id=BOS,
        eos_token_id=BOS,
    )
    config._attn_implementation = "eager"
    # What the weights are changes no time: they are drawn as they come.
    model = GPT2LMHeadModel(config).eval()
    plain = GPT2Model(config).eval()
    plain.load_state_dict(model.transformer.state_dict())
    words = {"<bos>": 0, **{f"w{i}": i for i in range(1, VOCABULARY)}}
    raw = Tokenizer(models.WordLevel(words, unk_token="w1"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<bos>", eos_token="<bos>", pad_token="<bos>"
    )
    return load(model, tokenizer=tokenizer, device="cpu"), plain


def related_text(sequences: int) -> RelationCorpus:
    """Text by Zipf's law with typed entities in it and triplets between them."""
    rng = np.random.default_rng(0)
    return RelationCorpus.from_sequences(
        [_sequence(rng, document) for document in range(sequences)],
        relations=[f"r{i}" for i in range(RELATIONS)],
        special_tokens=SpecialTokens(bos_id=BOS, eos_id=BOS, special_ids=(BOS,)),
    )


def _sequence(rng: np.random.Generator, document: int) -> RelatedSequence:
    tokens = np.minimum(rng.zipf(1.2, LENGTH), VOCABULARY - 1).astype(np.int64)
    tokens[0] = BOS
    starts = 1 + 2 * rng.choice((LENGTH - 2) // 2, size=ENTITIES, replace=False)
    tokens[starts] = rng.choice(np.arange(1000, VOCABULARY), size=ENTITIES, replace=False)
    entities = tuple(
        Entity(f"e{i}", f"t{i % TYPES}", ((int(start), int(start) + 1),))
        for i, start in enumerate(starts)
    )
    triplets = tuple(
        Triplet(int(head), int(rng.integers(RELATIONS)), int(tail), ())
        for head, tail in (rng.choice(ENTITIES, 2, replace=False) for _ in range(TRIPLETS))
    )
    return RelatedSequence(tokens, entities, triplets, document, None)


def plain_pass(model: GPT2Model, tokens: np.ndarray) -> float:
    """Seconds of transformers' trunk over the sequences, in batches."""
    start = time.perf_counter()
    with torch.no_grad():
        for first in range(0, len(tokens), BATCH):
            model(torch.from_numpy(tokens[first : first + BATCH]), use_cache=False)
    return time.perf_counter() - start


def peer_pass(bridge: TransformerBridge, tokens: np.ndarray) -> float:
    """Seconds of `detect_head` for its three heads over the sequences."""
    peer: Any = bridge
    texts = [" ".join(f"w{i}" for i in row[1:]) for row in tokens]
    start = time.perf_counter()
    for name in HEAD_NAMES:
        for text in texts:
            detect_head(peer, text, name)
    return time.perf_counter() - start


def shared_detectors() -> list[str]:
    """Names of the detectors that share forward passes, those derived from them included."""
    found = registry().values()
    return [d.name for d in found if (d.shares or d.derive is not None) and not d.only_named]


def ours_pass(
    bridge: TransformerBridge, relations: RelationCorpus, names: Sequence[str]
) -> tuple[float, HeadScores]:
    """Seconds of all detectors, and what they found."""
    start = time.perf_counter()
    found = score_heads(
        bridge,
        names,
        relations=relations,
        sequences=len(relations.sequences),
        length=LENGTH,
        batch_size=BATCH,
    )
    return time.perf_counter() - start, found


def main() -> None:
    """Run the benchmark."""
    benchmark = Benchmark("heads", __doc__)
    benchmark.parser.add_argument("--repeats", type=int, default=1)
    benchmark.parser.add_argument("--sequences", type=int, default=SEQUENCES)
    asked = benchmark.parse()
    names = shared_detectors()
    benchmark.say_settings(
        model=f"{LAYERS} layers, {HEADS} heads, width {WIDTH}, vocabulary {VOCABULARY:,}",
        sequences=f"{asked.sequences} of text, as many repeated random, {LENGTH} tokens",
        relations=f"{TRIPLETS} triplets of {RELATIONS} relations, {ENTITIES} entities a sequence",
        batch=BATCH,
        detectors=", ".join(names),
        peer_sequences=PEER_SEQUENCES,
        threads=torch.get_num_threads(),
    )
    bridge, plain = model_and_copy()
    relations = related_text(asked.sequences)
    text = np.stack([sequence.tokens for sequence in relations.sequences])
    repeated = repeated_tokens(
        regular_tokens(bridge), sequences=asked.sequences, length=LENGTH, seed=0
    ).tokens
    every = np.concatenate([text, repeated])
    plain_pass(plain, every[:BATCH])
    peer_pass(bridge, every[:1])
    ours: list[float] = []
    forward: list[float] = []
    peer: list[float] = []
    memory_mb = 0.0
    for _ in range(asked.repeats):
        before = plain_pass(plain, every)
        peer_before = peer_pass(bridge, repeated[: PEER_SEQUENCES // 2])
        with PeakMemory() as memory:
            seconds, found = ours_pass(bridge, relations, names)
        memory_mb = max(memory_mb, memory.extra_mb)
        after = plain_pass(plain, every)
        peer_after = peer_pass(bridge, text[: PEER_SEQUENCES // 2])
        ours.append(seconds)
        forward.append((before + after) / 2)
        peer.append((peer_before + peer_after) / (2 * (PEER_SEQUENCES // 2)))
        benchmark.say(f"  {found}")
    benchmark.say_sides({"interp, all": ours, "plain forward, all": forward}, unit="s")
    benchmark.say_sides({"detect_head, a sequence": peer}, unit="s")
    a_sequence = [seconds / len(every) for seconds in ours]
    benchmark.finish(
        {
            "heads.over_forward": float(np.median(np.divide(ours, forward))),
            "heads.over_detect_head": float(np.median(np.divide(a_sequence, peer))),
            "heads.s_per_sequence": float(np.median(a_sequence)),
            "heads.extra_mb": memory_mb,
        }
    )


if __name__ == "__main__":
    main()
