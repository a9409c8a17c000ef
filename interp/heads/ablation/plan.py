"""The plan of an ablation, and what is refused before the first forward pass."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.relations import RelationCorpus, open_relations
from interp.heads.ablation.asking import WHERES
from interp.heads.ablation.events import Events, asked_events
from interp.heads.ablation.grouping import Condition
from interp.heads.ablation.replacing import MODES, HeadLike, Mode, named_heads, z_sites
from interp.heads.columns import Head
from interp.models.context import refuse_beyond_context
from interp.results.errors import BadInput

Heads = Iterable[HeadLike] | Mapping[str, Iterable[HeadLike]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every choice of an ablation that can change a number."""

    conditions: tuple[Condition, ...]
    draws: int
    exact: int
    corruption: Literal["auto", "tails", "heads"]
    per_triplet: int
    batch_size: int
    bootstrap: int
    seed: int


def opened(relations: RelationCorpus | str | Path, bridge: TransformerBridge) -> RelationCorpus:
    return relations if isinstance(relations, RelationCorpus) else open_relations(relations, bridge)


def asked_of(
    whole: RelationCorpus, bridge: TransformerBridge, sequences: int | None
) -> RelationCorpus:
    """The first `sequences` of a corpus, all without; BadInput where there is nothing to ask."""
    corpus = whole
    if sequences is not None:
        corpus = replace(whole, sequences=whole.sequences[:sequences])
    if not corpus.sequences:
        raise BadInput(f"{corpus.name} has no sequence: there is nothing to ask")
    refuse_beyond_context(bridge, max(len(s.tokens) for s in corpus.sequences))
    return corpus


def named_groups(bridge: TransformerBridge, heads: Heads) -> dict[str, tuple[Head, ...]]:
    z_sites(bridge)
    named: dict[str, Iterable[HeadLike]] = (
        {str(k): v for k, v in heads.items()} if isinstance(heads, Mapping) else {"heads": heads}
    )
    if not named:
        raise BadInput("no group of heads: give at least one head, such as L1H2")
    return {name: named_heads(bridge, group) for name, group in named.items()}


def conditions_of(modes: Sequence[str], where: Sequence[str]) -> tuple[Condition, ...]:
    for kind, given, known in (("mode", modes, MODES), ("where", where, WHERES)):
        wrong = [one for one in given if one not in known]
        if wrong or not given:
            raise BadInput(f"{kind} {', '.join(wrong) or 'none'}: choose of {', '.join(known)}")
    every = tuple(dict.fromkeys((mode, place) for mode in modes for place in where))
    return cast(tuple[Condition, ...], every)


def events_of(corpus: RelationCorpus, plan: Plan) -> Events:
    events = asked_events(corpus, per_triplet=plan.per_triplet, seed=plan.seed)
    if not len(events):
        why = ", ".join(f"{n} {reason}" for reason, n in events.dropped.items())
        raise BadInput(
            f"{corpus.name} asks for no tail that can be told from others "
            f"({why or 'it has no triplet'}): entities of the tail's type must be mentioned too"
        )
    return events


def modes_of(plan: Plan) -> list[Mode]:
    """The modes of the conditions, each once."""
    return list(dict.fromkeys(mode for mode, _ in plan.conditions))
