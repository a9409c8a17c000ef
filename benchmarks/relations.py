"""Semantic induction heads of models whose relations are known, their controls, and ablation.

In relations/grammar ten relations are asked where the text says them. Heads are scored on one half
of fresh documents (`relation`: at the head of a relation, is its tail what they raise, against
tails of the same type; family-wise error over all heads and relations by maxT) and ablated on the
other half. Reported: how many heads are found; over ten controls, how many give any head at all:
the model that was trained on questions answered at random, asked what is right, and nine times the
grammar model asked with tails drawn at random; the margin lost without the best head of each
relation, lower end, less what random heads of the same layers cost, upper end, bootstrap over
documents; and the rank correlation over heads and relations of score and the effect of ablating
that head alone.

In relations/static (known by heart, one layer) and relations/binding (read from the context, two
layers) the score as printed in arXiv 2402.13055 (`ren2024`) stands beside ours, both beside
ablation.

Documents, split, thresholds and what is ablated were fixed before a grammar model was scored.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from transformer_lens.model_bridge import TransformerBridge

from benchmarks.harness import Benchmark
from interp.corpus.relations import RelationCorpus
from interp.heads.ablation import AblationResult, ablate_heads, found_heads, united
from interp.heads.relations import score_relations, semantic_heads
from interp.heads.scores import HeadScores
from interp.models.load import load
from probes.relations import relation_corpus

DOCUMENTS = 300
CORPUS_SEED, SPLIT_SEED, SEED = 0, 0, 0
ALPHA = 0.05
DRAWS = 10_000
RANDOM_TAILS = tuple(range(1, 10))
PRESETS = ("relation", "relation_static", "ren2024", "ren2024_dev")
CONDITION = ("mean", "event")
RANDOM_GROUPS = 20


class Halves(NamedTuple):
    """Where heads are chosen, and where they are ablated."""

    chosen: RelationCorpus
    ablated: RelationCorpus


def halves_of(name: str, *, answered_as: str | None = None) -> Halves:
    """The documents of a model's world in two halves, as many of each."""
    corpus = relation_corpus(name, n=DOCUMENTS, seed=CORPUS_SEED, answered_as=answered_as)
    return Halves(*corpus.halves(SPLIT_SEED))


def scored(bridge: TransformerBridge, corpus: RelationCorpus, preset: str) -> HeadScores:
    """Every head under one preset."""
    return score_relations(bridge, corpus, preset=preset, draws=DRAWS, seed=SEED)


def pairs_found(scores: HeadScores) -> list[tuple[str, str]]:
    """Heads with the relations that each is found for."""
    return [
        (f"L{layer}H{head}", str(column.relation))
        for column in scores.columns
        for layer, head in np.argwhere(semantic_heads(scores, column.name, alpha=ALPHA))
    ]


def ablated(
    bridge: TransformerBridge, scores: HeadScores, corpus: RelationCorpus, *, preset: str
) -> AblationResult:
    """The best found head of each relation, as one group; every head also by itself."""
    best = united(found_heads(scores, detector=preset, alpha=ALPHA, top=1).values())
    return ablate_heads(
        bridge,
        {"best": best},
        corpus,
        modes=(CONDITION[0], "resample"),
        draws=RANDOM_GROUPS,
        exact=bridge.cfg.n_layers * bridge.cfg.n_heads,
        scores=scores,
        detector=preset,
        seed=SEED,
    )


def head_lines(scores: HeadScores) -> list[str]:
    """Found heads of every relation with score, chance, rate and raise."""
    lines = []
    for column in scores.columns:
        found = np.argwhere(semantic_heads(scores, column.name, alpha=ALPHA))
        cells = [_cell(scores, column.name, layer, head) for layer, head in found]
        lines.append(f"  {column.relation:14}{'; '.join(cells) or 'none'}")
    return lines


def _cell(scores: HeadScores, column: str, layer: int, head: int) -> str:
    score, null, rate, gain = (
        float(scores.array(name, column)[layer, head])
        for name in ("score", "null_mean", "rate", "raise")
    )
    return f"L{layer}H{head} {score:.2f} (null {null:.2f}, rate {rate:.2f}, raise {gain:+.1f})"


def controls(grammar: TransformerBridge, corpus: RelationCorpus) -> dict[str, int]:
    """Heads found in every control, by its name."""
    trained = load("relations/control", device="cpu")
    right = halves_of("control", answered_as="grammar").chosen
    found = {"trained on random answers": len(pairs_found(scored(trained, right, "relation")))}
    for seed in RANDOM_TAILS:
        drawn = scored(grammar, corpus.with_random_tails(seed), "relation")
        found[f"asked with random tails, seed {seed}"] = len(pairs_found(drawn))
    return found


class SideBySide(NamedTuple):
    """One preset on one model."""

    pairs: int
    excess: float
    """Largest score less the mean of its null, over heads and relations."""
    correlation: float
    """Spearman's rho with the effect of ablating the head alone."""
    p: float
    n: int


def side_by_side(name: str) -> dict[str, SideBySide]:
    """Every preset of a small model, against the same single-head ablation."""
    bridge = load(f"relations/{name}", device="cpu")
    chosen, rest = halves_of(name)
    scores = {preset: scored(bridge, chosen, preset) for preset in PRESETS}
    return {preset: _against(bridge, s, rest, preset) for preset, s in scores.items()}


def _against(
    bridge: TransformerBridge, scores: HeadScores, corpus: RelationCorpus, preset: str
) -> SideBySide:
    every = [(layer, head) for layer in range(scores.n_layers) for head in range(scores.n_heads)]
    result = ablate_heads(
        bridge,
        {"all": every},
        corpus,
        modes=("mean",),
        where=("event",),
        draws=0,
        exact=len(every),
        scores=scores,
        detector=preset,
        seed=SEED,
    )
    rho, p, n = result.correlation[2, 0]
    excess = scores.score - scores.null_mean
    return SideBySide(len(pairs_found(scores)), float(np.nanmax(excess)), float(rho), float(p), n)


def main() -> None:
    benchmark = Benchmark("relations", __doc__)
    benchmark.parse()
    torch.set_num_threads(1)
    benchmark.say_settings(
        documents=DOCUMENTS, alpha=ALPHA, draws=DRAWS, random_groups=RANDOM_GROUPS, seed=SEED
    )
    grammar = load("relations/grammar", device="cpu")
    chosen, rest = halves_of("grammar")
    scores = scored(grammar, chosen, "relation")
    pairs = pairs_found(scores)
    benchmark.say("relations/grammar, heads found by relation:")
    for line in head_lines(scores):
        benchmark.say(line)
    result = ablated(grammar, scores, rest, preset="relation")
    benchmark.say(str(result))
    control = controls(grammar, chosen)
    for name, n in control.items():
        benchmark.say(f"  {name}: {n} heads found")
    bars = {
        "relations.heads_found": len({head for head, _ in pairs}),
        "relations.relations_with_heads": len({relation for _, relation in pairs}),
        "relations.control_runs_with_heads": sum(n > 0 for n in control.values()),
        "relations.ablation_margin": result.apart(condition=CONDITION),
        "relations.rank_correlation": float(result.correlation[2, 0, 0]),
        "relations.rank_correlation_p": float(result.correlation[2, 0, 1]),
    }
    for name in ("static", "binding"):
        benchmark.say(f"relations/{name}:")
        for preset, found in side_by_side(name).items():
            benchmark.say(
                f"  {preset:16} {found.pairs} pairs of head and relation found, largest excess "
                f"{found.excess:.2f}, rank correlation with ablation {found.correlation:.2f} "
                f"(p {found.p:.3f}, n {found.n:.0f})"
            )
            bars[f"relations.{name}.{preset}"] = found.pairs
            bars[f"relations.{name}.{preset}_correlation"] = found.correlation
    benchmark.finish({name: value for name, value in bars.items() if math.isfinite(value)})


if __name__ == "__main__":
    main()
