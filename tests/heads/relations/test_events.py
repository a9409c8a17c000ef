from dataclasses import replace

import numpy as np
import pytest

from interp.corpus.relations import Entity, RelatedSequence, RelationCorpus, Triplet
from interp.heads.relations.choices import PRESETS, RelationChoices, choices_of
from interp.heads.relations.controls import control_tails, levels, place
from interp.heads.relations.events import EventPlan, plan_events
from interp.results.errors import BadInput

# Position:        0  1   2   3   4   5   6   7   8   9  10  11  12  13  14
TOKENS = np.array([1, 20, 21, 30, 31, 40, 22, 50, 23, 41, 32, 60, 24, 20, 21])
HEAD = Entity("head", "thing", ((1, 3), (13, 15)))
NEAR = Entity("near", "word", ((3, 5),))
OTHER = Entity("other", "word", ((6, 7),))
FURTHER = Entity("further", "word", ((7, 8),))
LATE = Entity("late", "word", ((12, 13),))
KIND = Entity("kind", "place", ((10, 11),))
ENTITIES = (HEAD, NEAR, OTHER, FURTHER, LATE, KIND)


def _corpus(*triplets: Triplet, entities: tuple[Entity, ...] = ENTITIES) -> RelationCorpus:
    sequence = RelatedSequence(TOKENS, entities, triplets, 0)
    return RelationCorpus.from_sequences([sequence], relations=["r"])


def _plan(*triplets: Triplet, preset: str = "relation", **how: str) -> EventPlan:
    return plan_events(_corpus(*triplets), PRESETS[preset], **how)  # pyright: ignore


def test_events_follow_both_entities_and_leave_out_the_tail_and_the_current_token() -> None:
    of = _plan(Triplet(0, 0, 1)).sequences[0]
    # The tail is complete at 4, where it still is the current token; at 14 the head is mentioned
    # again, and its own last token does not count.
    assert of.position.tolist() == list(range(5, 15))
    assert [a[a >= 0].tolist() for a in of.anchors] == [[2]] * 10
    literal = _plan(Triplet(0, 0, 1), preset="ren2024").sequences[0]
    assert literal.position.tolist() == list(range(4, 15))
    assert literal.anchors[-1].tolist() == [2, 14]


def test_a_triplet_that_is_asked_is_scored_where_it_is_asked() -> None:
    of = _plan(Triplet(0, 0, 1, (2, 7, 11))).sequences[0]
    assert of.position.tolist() == [7, 11]


def test_labels_are_the_tail_and_its_controls_and_are_tested_once_all_are_seen() -> None:
    of = _plan(Triplet(0, 0, 1), match="side").sequences[0]
    assert of.candidates[of.labels[0]].tolist() == [30, 22, 50]
    assert of.position[of.tested].tolist() == [8, 9, 10, 11, 12, 13, 14]


def test_controls_are_alike_in_type_side_and_distance() -> None:
    triplet = Triplet(0, 0, 1)
    sequence = _corpus(triplet).sequences[0]
    end = len(TOKENS) - 1
    assert place(sequence, 0, 1, end) == (False, 0)
    # Seen from the second mention, `late` stands before.
    assert place(sequence, 0, 4, end) == (True, 0)
    assert control_tails(sequence, triplet, match="type") == [2, 3, 4]
    assert control_tails(sequence, triplet, match="side") == [2, 3]
    assert control_tails(sequence, triplet, match="distance") == [2]


def test_another_true_tail_is_no_control() -> None:
    sequence = _corpus(Triplet(0, 0, 1), Triplet(0, 0, 2)).sequences[0]
    assert control_tails(sequence, sequence.triplets[0], match="type") == [3, 4]


def test_what_comes_after_the_question_is_not_looked_at() -> None:
    triplet = Triplet(0, 0, 1, (6,))
    assert control_tails(_corpus(triplet).sequences[0], triplet, match="type") == [2]


def test_the_match_is_the_strictest_that_leaves_half_of_the_triplets_a_control() -> None:
    assert levels(_corpus(Triplet(0, 0, 1))) == ("distance",)
    assert levels(_corpus(Triplet(0, 0, 4), Triplet(5, 0, 4))) == ("type",)


def test_what_cannot_be_scored_is_left_out_and_counted() -> None:
    same = Entity("same", "word", ((14, 15),))
    corpus = _corpus(
        Triplet(0, 0, 0),
        Triplet(0, 0, 6),
        Triplet(0, 0, 1, (0,)),
        Triplet(0, 0, 5),
        Triplet(0, 0, 1),
        entities=(*ENTITIES, same),
    )
    plan = plan_events(corpus, PRESETS["relation"])
    assert plan.left_out["r"] == {
        "head and tail are one entity": 1,
        "head and tail share their token": 1,
        "no position to score it at": 1,
        "no control tail (scored, not tested)": 1,
    }
    assert len(plan.sequences[0].relation) == 2


def test_typed_candidates_are_the_tokens_of_the_tails_type() -> None:
    choices = replace(PRESETS["relation"], candidates="typed")
    of = plan_events(_corpus(Triplet(0, 0, 1)), choices).sequences[0]
    assert of.candidates[of.allowed[0]].tolist() == [22, 24, 30, 50]


def test_the_baseline_of_the_paper_takes_the_tenth_token_and_visible_ones_come_before() -> None:
    tenth = _plan(Triplet(0, 0, 1), null="tenth").sequences[0]
    assert tenth.candidates[tenth.labels[0]].tolist() == [30, 41]
    visible = _plan(Triplet(0, 0, 1), null="visible").sequences[0]
    assert set(visible.candidates[visible.labels[0][1:]].tolist()) == {1, 20, 21, 31}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: choices_of("ren2023"), "no preset 'ren2023'"),
        (lambda: RelationChoices(tail_visible=False), "needs candidates="),
        (lambda: RelationChoices(candidates="given"), "needs given="),
        (lambda: RelationChoices(tau=0.5), "expected tau >= 1"),
        (lambda: _plan(Triplet(0, 0, 1), match="near"), "match='near'"),
        (lambda: _plan(Triplet(0, 0, 1), null="none"), "null='none'"),
        (lambda: _plan(Triplet(0, 0, 0)), "none of its 1 triplets can be scored"),
    ],
)
def test_wrong_choices_say_what_is_possible(make: object, message: str) -> None:
    with pytest.raises(BadInput, match=message.replace("(", r"\(")):
        make()  # pyright: ignore
