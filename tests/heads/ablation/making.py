"""A small corpus of facts `value name` and questions `? name value`, on the tiny models' tokens."""

import numpy as np

from interp.corpus.corpus import SpecialTokens
from interp.corpus.relations import Entity, RelatedSequence, RelationCorpus, Triplet

ASK = 3
NAMES, VALUES = range(4, 34), range(34, 64)
N_FACTS = 6


def facts(
    n: int = 16, *, seed: int = 0, asked: int = 3, bos: int | None = None, relations: int = 2
) -> RelationCorpus:
    """`n` sequences of six facts, of which `asked` are asked at once after the facts."""
    rng = np.random.default_rng(seed)
    return RelationCorpus(
        name=f"facts {seed}",
        relations=tuple(f"r{i}" for i in range(relations)),
        sequences=tuple(_sequence(i, rng, asked, bos, relations) for i in range(n)),
        dropped={},
        n_triplets_found={},
        tokenizer_digest=None,
        bos="nothing" if bos is None else "BOS first",
        length=64,
        special_tokens=SpecialTokens(
            bos_id=bos, pad_id=0, special_ids=(0,) if bos is None else (0, bos)
        ),
    )


def _sequence(
    number: int, rng: np.random.Generator, asked: int, bos: int | None, relations: int
) -> RelatedSequence:
    names = rng.permutation(NAMES)[:N_FACTS].tolist()
    values = rng.permutation(VALUES)[:N_FACTS].tolist()
    tokens = [] if bos is None else [bos]
    of_name: dict[int, list[tuple[int, int]]] = {k: [] for k in range(N_FACTS)}
    of_value: dict[int, list[tuple[int, int]]] = {k: [] for k in range(N_FACTS)}

    def say(k: int, mentions: dict[int, list[tuple[int, int]]], token: int) -> None:
        mentions[k].append((len(tokens), len(tokens) + 1))
        tokens.append(token)

    for k in range(N_FACTS):
        say(k, of_value, values[k])
        say(k, of_name, names[k])
    at = {}
    for k in rng.permutation(N_FACTS)[:asked].tolist():
        tokens.append(ASK)
        say(k, of_name, names[k])
        at[k] = (len(tokens) - 1,)
        say(k, of_value, values[k])
    # Sequences of several lengths: batches are padded.
    tokens += [ASK] * int(rng.integers(0, 4))
    entities = (
        *(Entity(f"n{k}", "name", tuple(of_name[k])) for k in range(N_FACTS)),
        *(Entity(f"v{k}", "value", tuple(of_value[k])) for k in range(N_FACTS)),
    )
    triplets = tuple(Triplet(k, k % relations, N_FACTS + k, at[k]) for k in sorted(at))
    return RelatedSequence(np.array(tokens), entities, triplets, number)
