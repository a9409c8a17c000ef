import json

import numpy as np
import pytest

from interp.abilities.allo.corrections import (
    Correction,
    check_template,
    correction_examples,
    read_corrections,
)
from interp.results.errors import BadInput


def correction(prediction="a b X", **fields) -> Correction:
    return Correction(**{"problem": "q", "solution": "c d z", "prediction": prediction, **fields})


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_right_rewrite_with_the_fewest_edits_is_taught():
    row = correction(rewrites=("a b z", "a b Y", "a d z"))
    assert row.minimal() == "a b z"


def test_a_rewrite_with_a_wrong_final_answer_is_not_taught_though_it_is_nearer():
    assert correction(rewrites=("a b Y",)).minimal() == "c d z"


def test_the_final_answer_may_stand_anywhere_and_reach_into_the_problem():
    row = correction(problem="2 + 2 =", answer="= four", solution="four it is", rewrites=())
    assert row.is_right("four so be it")
    assert not row.is_right("five so be it")
    assert not row.is_right("fourteen")


def test_examples_hold_the_template_filled_in_and_the_rewrite():
    rows = [correction(rewrites=("a b z",))]
    found = correction_examples(rows, template="{prediction} | {solution}", rng=rng())
    assert found.rows == [{"prompt": "a b X | c d z", "answer": "a b z"}]


def test_right_predictions_are_copied_in_the_share_of_rewrites():
    rows = [correction(rewrites=("a b z",))] * 250 + [correction("c d z")] * 750
    found = correction_examples(rows, rng=rng())
    assert found.n_rewrites == 250
    # 750 draws of .25: 187.5 with a standard deviation of 11.9.
    assert 140 < found.n_copies < 235
    assert len(found.rows) == found.n_rewrites + found.n_copies


def test_a_row_without_any_right_rewrite_is_dropped_and_counted():
    rows = [correction(answer="nowhere"), correction()]
    assert correction_examples(rows, rng=rng()).n_dropped == 1


def test_nothing_to_correct_is_refused():
    with pytest.raises(BadInput, match="no correction has a rewrite"):
        correction_examples([correction("c d z")], rng=rng())


@pytest.mark.parametrize(
    "template", ["{solution}", "{solution} {prediction} {teacher}", "{0}", "{"]
)
def test_a_template_that_cannot_be_filled_is_refused(template):
    with pytest.raises(BadInput, match="template"):
        check_template(template)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt": "q", "chosen": "a"}', "line 1 lacks 'rejected'"),
        ("[1]", "line 1 is not an object"),
        ("{", "line 1 is not JSON"),
        (json.dumps({"prompt": "q", "chosen": "a", "rejected": "b", "rewrite": [1]}), "rewrite"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    (tmp_path / "rows.jsonl").write_text(line + "\n")
    with pytest.raises(BadInput, match=message):
        read_corrections(tmp_path / "rows.jsonl")
