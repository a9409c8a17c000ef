"""A transformer put together by hand, in which every detector has its one head.

A GPT-2 directory of 3 layers of 8 heads. The residual stream holds five blocks, each a one-hot:
the token, the token before (written by the previous-token head), two blocks of predictions, both
read by the unembedding, and the position. Every coordinate has a mirror image of the other sign,
so LayerNorm subtracts nothing; and one pair is a constant of 1,000, so that it divides by nearly
the same number whatever else is there (within 1e-5). MLPs are zero.

    directory = planted_directory(tmp_path)
    HEADS["induction"]              # (1, 0)
    planted_relations(60, seed=0)   # a RelationCorpus with the two planted relations
    planted_text(50, seed=0)        # random words, one text a line
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from interp.corpus import SpecialTokens
from interp.corpus.relations import Entity, RelatedSequence, RelationCorpus, Triplet
from interp.models.tokenizer import tokenizer_digest

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
CUES = ("made-of", "used-for")
THINGS = ("pen", "cup", "bed", "car")
TAILS = ("wood", "clay", "iron", "silk", "ink", "tea")
FILLERS = ("the", "a", "of", "and", "in", "on", "by", "to", "it", "is", "was", "for")
WORDS = ("<bos>", *DAYS, *CUES, *THINGS, *TAILS, *FILLERS)
IDS = {word: i for i, word in enumerate(WORDS)}
MADE_OF = {"pen": "ink", "cup": "clay", "bed": "wood", "car": "iron"}
USED_FOR = {"pen": "silk", "cup": "tea", "bed": "iron", "car": "wood"}

HEADS = {
    "previous_token": (0, 0),
    "duplicate_token": (0, 1),
    "successor": (0, 2),
    "two_back": (0, 3),
    "induction": (1, 0),
    "made-of": (1, 1),
    "used-for": (1, 2),
    "copy_suppression": (2, 0),
    "anti_induction": (2, 1),
}
"""What each head was made for; the others are empty: they attend to all alike."""

N_LAYERS, N_HEADS, D_HEAD = 3, 8, 48
N_POSITIONS = 48
_D_MODEL = N_HEADS * D_HEAD
_HALF = _D_MODEL // 2
_V = len(WORDS)
TOKEN, BEFORE, PREDICTED, EXPECTED, PLACE = (i * _V for i in range(5))
"""First coordinate of each block; `EXPECTED` holds what the successor head predicts."""
_CONSTANT = _HALF - 1
_LARGE = 1_000.0
_GAIN = ((2 * _LARGE**2 + 2 * 2) / _D_MODEL) ** 0.5
"""The norm of a residual of a token and a position: what LayerNorm divides those by."""
_STEP = 240.0
"""Attention score that each step nearer to the query adds: a head with nothing else rests there."""
_SURE = 12_000.0
"""Attention score of what a head looks for, above that of any place."""


def _match(query: int, key: int, size: int, *, back: int = 0) -> Tensor:
    """[half, half]: 1 where coordinate query + i meets key + i - back."""
    found = torch.zeros(_HALF, _HALF)
    for i in range(max(back, 0), size):
        found[query + i, key + i - back] = 1.0
    return found


def _recent() -> Tensor:
    found = torch.zeros(_HALF, _HALF)
    found[_CONSTANT, PLACE : PLACE + N_POSITIONS] = _STEP * torch.arange(N_POSITIONS) / _LARGE
    return found


def _resting_on_bos() -> Tensor:
    """Just under what the query itself gets by being the most recent."""
    found = torch.zeros(_HALF, _HALF)
    found[PLACE : PLACE + N_POSITIONS, TOKEN] = _STEP * (torch.arange(N_POSITIONS) - 0.5)
    return found


def _cued(cue: str) -> Tensor:
    found = torch.zeros(_HALF, _HALF)
    found[TOKEN + IDS[cue], [TOKEN + IDS[thing] for thing in THINGS]] = 1.0
    return found


def _tails(pairs: dict[str, str]) -> Tensor:
    found = torch.zeros(_HALF, _HALF)
    for thing, tail in pairs.items():
        found[TOKEN + IDS[thing], PREDICTED + IDS[tail]] = 1.0
    return found


def _days() -> Tensor:
    found = torch.zeros(_HALF, _HALF)
    for day, after in zip(DAYS, DAYS[1:] + DAYS[:1], strict=True):
        found[TOKEN + IDS[day], EXPECTED + IDS[after]] = 1.0
    return found


Parts = tuple[Tensor, ...]
"""What adds up to a circuit, each of a rank that its rows or columns show."""


def _circuits() -> dict[tuple[int, int], tuple[Parts, Parts]]:
    """Head -> (QK: attention score of coordinate pairs, OV: what a coordinate read writes)."""
    rests = _recent()
    copying = _match(TOKEN + 1, PREDICTED + 1, _V - 1)
    circuits: dict[str, tuple[Parts, Parts]] = {
        "previous_token": (
            (_SURE * _match(PLACE, PLACE, N_POSITIONS, back=1),),
            (_match(TOKEN, BEFORE, _V),),
        ),
        # Every token is its own copy: of all copies this takes the first.
        "duplicate_token": ((_SURE * _match(TOKEN, TOKEN, _V), -rests), ()),
        "successor": ((rests,), (_days(),)),
        "two_back": ((_SURE * _match(PLACE, PLACE, N_POSITIONS, back=2),), ()),
        "induction": ((_SURE * _match(TOKEN, BEFORE, _V), rests), (copying,)),
        "made-of": ((_SURE * _cued("made-of"), rests), (_tails(MADE_OF),)),
        "used-for": ((_SURE * _cued("used-for"), rests), (_tails(USED_FOR),)),
        "copy_suppression": (
            (_SURE * _match(EXPECTED, TOKEN, _V), rests),
            (-_match(TOKEN, PREDICTED, _V),),
        ),
        # It takes back what was predicted, unless that is the token that it looks at.
        "anti_induction": (
            (rests, _resting_on_bos(), -2 * _SURE * _match(PREDICTED, TOKEN, _V)),
            (-_match(PREDICTED, PREDICTED, _V),),
        ),
    }
    return {HEADS[name]: circuit for name, circuit in circuits.items()}


def _factored(circuit: Parts) -> tuple[Tensor, Tensor]:
    """left [half, d_head] and right [d_head, half] whose product is the sum of parts, exactly."""
    left, right = torch.zeros(_HALF, D_HEAD), torch.zeros(D_HEAD, _HALF)
    used = 0
    for part in circuit:
        by_row = (part != 0).any(dim=1).sum() <= (part != 0).any(dim=0).sum()
        wide = part if by_row else part.T
        rows = (wide != 0).any(dim=1).nonzero().flatten()
        channels = torch.arange(used, used + len(rows))
        used += len(rows)
        if used > D_HEAD:
            raise ValueError(f"a circuit of rank {used} in a head of {D_HEAD}")
        first, second = (left, right.T) if by_row else (right.T, left)
        first[rows, channels] = 1.0
        second[:, channels] = wide[rows].T
    return left, right


def _read(weight: Tensor) -> Tensor:
    """[d_model, n] that reads each coordinate from itself and its mirror image."""
    return torch.cat([weight, -weight]) / 2


def _write(weight: Tensor) -> Tensor:
    return torch.cat([weight, -weight], dim=-1)


def planted_model() -> GPT2LMHeadModel:
    """The transformer; nothing in it is random."""
    config = GPT2Config(
        vocab_size=_V,
        n_embd=_D_MODEL,
        n_inner=4,
        n_layer=N_LAYERS,
        n_head=N_HEADS,
        n_positions=N_POSITIONS,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=None,
    )
    with torch.random.fork_rng():
        model = GPT2LMHeadModel(config)
    circuits = _circuits()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(_GAIN if ".ln_" in name and name.endswith("weight") else 0.0)
        tokens, places = torch.zeros(_V, _HALF), torch.zeros(N_POSITIONS, _HALF)
        tokens[:, TOKEN : TOKEN + _V] = torch.eye(_V)
        tokens[:, _CONSTANT] = _LARGE
        places[:, PLACE : PLACE + N_POSITIONS] = torch.eye(N_POSITIONS)
        model.transformer.wte.weight.copy_(_write(tokens))
        model.transformer.wpe.weight.copy_(_write(places))
        logits = _match(PREDICTED, 0, _V) + _match(EXPECTED, 0, _V)
        model.lm_head.weight.copy_(_read(logits[:, :_V]).T)
        for (layer, head), (qk, ov) in circuits.items():
            attention: Any = model.transformer.h[layer].attn
            query, key = _factored(qk)
            value, output = _factored(ov)
            at = slice(head * D_HEAD, (head + 1) * D_HEAD)
            parts = (_read(query) * D_HEAD**0.5, _read(key.T), _read(value))
            for offset, part in zip((0, _D_MODEL, 2 * _D_MODEL), parts, strict=True):
                attention.c_attn.weight[:, offset + at.start : offset + at.stop] = part
            attention.c_proj.weight[at] = _write(output)
    return model.eval()


def planted_directory(directory: Path) -> Path:
    """Write the model with a tokenizer of words, which puts `<bos>` first; returns it."""
    planted_model().save_pretrained(directory)
    tokenizer = Tokenizer(models.WordLevel(IDS, unk_token="the"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore
    tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", 0)]
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>").save_pretrained(
        directory
    )
    return directory


def planted_text(n: int, *, seed: int) -> str:
    """`n` lines of 40 random words: no cue, and two days of which the first follows the second.

    Those stand at any two places, so that no distance is more likely than another.
    """
    rng = np.random.default_rng(seed)
    plain = [*THINGS, *TAILS, *FILLERS]
    lines = []
    for _ in range(n):
        words = rng.choice(plain, 40).tolist()
        early, late = np.sort(rng.choice(40, 2, replace=False)).tolist()
        day = int(rng.integers(len(DAYS)))
        words[early], words[late] = DAYS[(day + 1) % len(DAYS)], DAYS[day]
        lines.append(" ".join(words))
    return "\n".join(lines)


def planted_relations(n: int, *, seed: int, directory: Path | None = None) -> RelationCorpus:
    """`n` sequences: five tails in any order, a thing, and both cues after it.

    The tails that the thing is related to are among the five. `directory` is where the model was
    written, for the tokenizer's digest.
    """
    rng = np.random.default_rng(seed)
    sequences = [_sequence(rng, number) for number in range(n)]
    return RelationCorpus.from_sequences(
        sequences,
        relations=CUES,
        name="planted relations",
        tokenizer_digest=tokenizer_digest(directory) if directory else None,
        special_tokens=SpecialTokens(bos_id=0, special_ids=(0,)),
    )


def _sequence(rng: np.random.Generator, number: int) -> RelatedSequence:
    thing = str(rng.choice(THINGS))
    related = (MADE_OF[thing], USED_FOR[thing])
    others = [tail for tail in TAILS if tail not in related]
    menu = rng.permutation([*related, *rng.choice(others, 3, replace=False)]).tolist()
    gap = rng.choice(FILLERS, 4, replace=False).tolist()
    first, second = rng.permutation(CUES).tolist()
    words = ["<bos>", *menu, gap[0], thing, gap[1], first, gap[2], second, gap[3]]
    at = {word: place for place, word in enumerate(words)}
    entities = [Entity(word, "tail", ((at[word], at[word] + 1),)) for word in menu]
    entities.append(Entity(thing, "thing", ((at[thing], at[thing] + 1),)))
    triplets = tuple(Triplet(5, i, menu.index(tail)) for i, tail in enumerate(related))
    tokens = np.array([IDS[word] for word in words])
    return RelatedSequence(tokens, tuple(entities), triplets, number, " ".join(words[1:]))
