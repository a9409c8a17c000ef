"""Corrupted sequences: what stays, and who answers to whom afterwards."""

import numpy as np
import pytest

from interp.corpus.relations import Entity, RelatedSequence, Triplet
from interp.heads.ablation.corrupting import SIDES, swapped
from tests.heads.ablation.making import N_FACTS, facts


@pytest.mark.parametrize("side", SIDES)
def test_positions_and_counts_stay(side) -> None:
    for sequence in facts(8).sequences:
        tokens, moved = swapped(sequence, side, np.random.default_rng(0))
        assert moved
        assert sorted(tokens.tolist()) == sorted(sequence.tokens.tolist())
        offset = N_FACTS if side == "tails" else 0
        for k in range(N_FACTS):
            start, _ = sequence.entities[offset + k].mentions[0]
            assert (tokens[start] != sequence.tokens[start]) == (offset + k in moved)


def test_every_mention_of_an_entity_that_moved_is_its_partner() -> None:
    sequence = facts(1, asked=4).sequences[0]
    tokens, moved = swapped(sequence, "tails", np.random.default_rng(0))
    for index in moved:
        entity = sequence.entities[index]
        assert len({int(tokens[start]) for start, _ in entity.mentions}) == 1


def test_an_odd_one_another_length_and_another_type_stay() -> None:
    sequence = RelatedSequence(
        np.arange(10, 20),
        (
            Entity("a", "t", ((0, 1),)),
            Entity("b", "t", ((1, 3),)),
            Entity("c", "u", ((3, 4),)),
            Entity("head", "h", ((4, 5),)),
        ),
        (Triplet(3, 0, 0), Triplet(3, 0, 1), Triplet(3, 0, 2)),
        0,
    )
    tokens, moved = swapped(sequence, "tails", np.random.default_rng(0))
    assert not moved
    np.testing.assert_array_equal(tokens, sequence.tokens)


def test_mentions_that_share_a_token_stay() -> None:
    sequence = RelatedSequence(
        np.arange(10, 16),
        (
            Entity("a", "t", ((0, 2),)),
            Entity("b", "t", ((1, 3),)),
            Entity("head", "h", ((4, 5),)),
        ),
        (Triplet(2, 0, 0), Triplet(2, 0, 1)),
        0,
    )
    assert not swapped(sequence, "tails", np.random.default_rng(0))[1]
