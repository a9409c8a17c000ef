"""Where a relation is asked, told from the definition by a double loop and by hand."""

from dataclasses import replace

import numpy as np

from interp.corpus.relations import Entity, RelatedSequence, Triplet
from interp.heads.ablation.events import asked_events
from interp.heads.ablation.statistics import Sequences
from tests.heads.ablation.making import N_FACTS, facts


def one_sequence(sequence: RelatedSequence):
    return replace(facts(1), relations=("r",), sequences=(sequence,))


# a b c d x a y : entities of one type at 0, 1, 2 and of another at 3.
HAND = RelatedSequence(
    np.array([10, 20, 30, 40, 50, 10, 60]),
    (
        Entity("a", "t", ((0, 1), (5, 6))),
        Entity("b", "t", ((1, 2),)),
        Entity("c", "t", ((2, 3),)),
        Entity("d", "u", ((3, 4),)),
    ),
    (),
    0,
)


def test_an_asked_triplet_is_one_event_with_the_other_values_as_controls() -> None:
    corpus = facts(5)
    events = asked_events(corpus, per_triplet=4, seed=0)
    assert len(events) == sum(len(t.at) for s in corpus.sequences for t in s.triplets)
    for e in range(len(events)):
        sequence = corpus.sequences[events.sequence[e]]
        j = events.position[e]
        assert events.tail[e] == sequence.tokens[j + 1] == events.target[e]
        values = {int(sequence.tokens[2 * k]) for k in range(N_FACTS)}
        assert {*events.controls[e].tolist(), int(events.tail[e])} == values


def test_controls_leave_out_the_head_and_every_other_tail_of_it() -> None:
    events = asked_events(
        one_sequence(HAND._replace(triplets=(Triplet(0, 0, 1, (5,)), Triplet(0, 0, 2, (5,))))),
        per_triplet=4,
        seed=0,
    )
    assert len(events) == 0
    assert events.dropped == {"no other entity of its type": 2}
    events = asked_events(
        one_sequence(HAND._replace(triplets=(Triplet(3, 0, 1, (5,)),))), per_triplet=4, seed=0
    )
    assert events.controls.tolist() == [[10, 30]]


def test_what_is_not_mentioned_yet_is_counted_and_left_out() -> None:
    sequence = HAND._replace(triplets=(Triplet(3, 0, 0, (2,)), Triplet(0, 0, 3, (1,))))
    events = asked_events(one_sequence(sequence), per_triplet=4, seed=0)
    assert len(events) == 0
    assert events.dropped == {"head not mentioned yet": 1, "tail not mentioned yet": 1}


def test_a_triplet_asked_nowhere_has_events_after_both_and_none_inside_its_tail() -> None:
    sequence = HAND._replace(triplets=(Triplet(3, 0, 0),))
    events = asked_events(one_sequence(sequence), per_triplet=99, seed=0)
    # After d at 3, not at 5 which is the tail, not at 6 which has no next token.
    assert events.position.tolist() == [3, 4]
    assert events.target.tolist() == [50, 10]
    fewer = asked_events(one_sequence(sequence), per_triplet=1, seed=0)
    assert len(fewer) == 1


def test_weights_are_means_of_positions_then_triplets_then_sequences() -> None:
    sequence = HAND._replace(triplets=(Triplet(3, 0, 0), Triplet(3, 1, 1, (4,))))
    corpus = replace(one_sequence(sequence), relations=("r", "s"))
    corpus = replace(corpus, sequences=(sequence, sequence._replace(document=1)))
    events = asked_events(corpus, per_triplet=99, seed=0)
    values = np.random.default_rng(0).normal(size=len(events))
    found = Sequences(corpus, events).totals(values).mean()
    of = {}
    for e, v in enumerate(values):
        of.setdefault((events.sequence[e], events.triplet[e]), []).append(v)
    by = {key: np.mean(v) for key, v in of.items()}
    every = np.mean([np.mean([by[s, 0], by[s, 1]]) for s in (0, 1)])
    np.testing.assert_allclose(
        found, [every, np.mean([by[0, 0], by[1, 0]]), np.mean([by[0, 1], by[1, 1]])]
    )


def test_some_of_the_events_are_weighted_as_if_there_were_no_others() -> None:
    corpus = facts(6)
    events = asked_events(corpus, per_triplet=4, seed=0)
    kept = events.relation == 1
    own = Sequences(corpus, events.only(kept)).totals(np.ones(kept.sum())).mean()
    np.testing.assert_allclose(own, [1, np.nan, 1])
