"""A series whose mechanism is known: heads form, answers come, and go without the heads."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from interp.cli.app import app
from interp.corpus.relations import RelationCorpus
from interp.heads.emergence import HeadEmergence, follow_heads
from interp.heads.emergence.levels import level_curves
from interp.heads.emergence.tracing import Questions, answers, head_sums
from interp.heads.icl import LevelCurves, measure_levels
from interp.heads.icl.tasks import Tasks, open_tasks
from interp.heads.relations.run import score_relations, tally_relations
from interp.models.load import load
from interp.results.errors import BadInput, CorruptFile, Mismatch
from probes.relations import draw_documents, relation_corpus, write_documents
from tests.models import tiny_model_directory

STEPS = (0, 200, 400, 440, 460, 500, 800)
SERIES = "relations/binding"


@pytest.fixture(scope="module")
def corpus() -> RelationCorpus:
    return relation_corpus("binding", n=100, seed=0)


@pytest.fixture(scope="module")
def tasks() -> Tasks:
    """Words of the binding model as two kinds: its tokenizer has no labels of its own."""
    words = "bam bel cob dax dim fep fol gan gub hiv jat jom kel kip lod luz"
    names = words.split(" ")
    rules = [["one", "other", "zin"], ["other", "one", "wex"]]
    return open_tasks(
        {
            "line": "{first} {second} {label}",
            "separator": " ",
            "categories": {"one": names[:8], "other": names[8:]},
            "tasks": [{"name": "order", "kind": "binary", "rules": rules}],
        }
    )


@pytest.fixture(scope="module")
def levels(tasks: Tasks) -> LevelCurves:
    return measure_levels(SERIES, tasks, steps=STEPS, shots=(0, 4), n_prompts=20)


@pytest.fixture(scope="module")
def found(corpus: RelationCorpus, levels: LevelCurves) -> HeadEmergence:
    return follow_heads(
        SERIES, corpus, steps=STEPS, icl=levels, top=2, n_random=2, draws=300, bootstrap=200
    )


def test_heads_are_those_of_the_layer_that_reads_the_binding(found: HeadEmergence) -> None:
    assert len(found.chosen) == 2
    assert {chosen.layer for chosen in found.chosen} == {1}
    assert all(chosen.p_adj is not None and chosen.p_adj < 0.05 for chosen in found.chosen)
    assert found.n_choosing + found.n_tracing == 100


def test_seven_checkpoints_about_a_rise_do_not_tell_it_from_a_drift_and_give_no_lag(
    found: HeadEmergence,
) -> None:
    together = "+".join(chosen.name for chosen in found.chosen)
    lag = next(lag for lag in found.lags if lag.earlier == "owns answers")
    assert lag.later == f"owns {together} per_opportunity"
    assert lag.checkpoints is None and lag.low is None
    assert lag.correlation is None and lag.p_together is None
    answered = found.change("owns answers")
    assert answered.kind == "drift"
    assert answered.bic_gain is not None and answered.bic_gain < 0
    assert answered.step_after is not None and 440 <= answered.step_after <= 500
    assert answered.before is not None and answered.after is not None
    assert answered.after - answered.before > 0.5


def test_without_the_heads_answers_are_lost_at_the_end_and_not_before_they_are_there(
    found: HeadEmergence,
) -> None:
    own = found.curve("owns answers")
    (without,) = (i for i in found.of_kind("ablated") if found.curves[i].statistic == "answers")
    assert found.value[own, -1] > 0.95
    assert found.high[without, -1] < found.low[own, -1]
    assert abs(found.value[own, 0] - found.value[without, 0]) < 0.1


def test_the_notes_say_which_step_is_the_last_and_that_nothing_tests_co_timing(
    found: HeadEmergence,
) -> None:
    printed = str(found)
    assert "7 checkpoints of relations/binding, steps 0 to 800" in printed
    assert "a model trained beyond step 800 is not among them" in printed
    assert "too few checkpoints to test (7; it takes 20)" in printed
    assert "Changing at the same time is no cause" in printed


def test_ranks_agree_with_the_last_checkpoint_at_the_last(found: HeadEmergence) -> None:
    assert found.spearman[-1, 0] == pytest.approx(1)
    assert found.jaccard[-1, 0] == 1
    assert np.isnan(found.spearman[0, 0]) or found.spearman[0, 0] < 1


def test_a_level_that_does_not_change_has_no_lag(found: HeadEmergence) -> None:
    (at,) = (i for i in found.of_kind("icl") if found.curves[i].statistic == "pattern")
    assert found.curves[at].sample == "prompts of order"
    names = {lag.earlier for lag in found.lags}
    assert {"owns answers", "owns margin", found.curves[at].name} <= names


def test_curves_are_the_statistics_of_the_scores(
    found: HeadEmergence, corpus: RelationCorpus
) -> None:
    _, tracing = corpus.halves(0)
    bridge = load(f"{SERIES}@800", device="cpu")
    scores = score_relations(bridge, tracing, draws=50)
    tally = tally_relations(bridge, tracing)
    documents = np.unique([sequence.document for sequence in tracing.sequences])
    head = found.chosen[0].layer, found.chosen[0].head
    for statistic in ("rate", "strength", "per_opportunity"):
        wanted = scores.array(statistic, "relation.owns")
        assert getattr(found, statistic)[-1, ..., 0] == pytest.approx(wanted, nan_ok=True)
        at = found.curve(f"owns {found.chosen[0].name} {statistic}")
        assert found.value[at, -1] == pytest.approx(wanted[head])
        sums = head_sums(tally, 0, scores.top("relation.owns", 1), statistic, documents)
        assert len(sums.part) == len(documents)
    assert found.score[-1, ..., 0] == pytest.approx(
        scores.array("score", "relation.owns"), nan_ok=True
    )


def test_answers_are_those_of_a_plain_reading(corpus: RelationCorpus) -> None:
    bridge = load(f"{SERIES}@480", device="cpu")
    few = replace(corpus, sequences=corpus.sequences[:20])
    questions = Questions.of(few, per_triplet=4, seed=0)
    sums = answers(bridge, questions, 0, batch_size=7)["answers"]
    right = []
    for batch in few.batches(1):
        (sequence,) = batch.sequences
        said = bridge(torch.from_numpy(batch.tokens)).argmax(-1)[0]
        hits = [
            np.mean([int(said[p]) == sequence.tokens[sequence.entities[t.tail].mentions[0][0]]
                     for p in t.at])
            for t in sequence.triplets
        ]  # fmt: skip
        right.append(np.mean(hits))
    assert sums.part.sum() / sums.whole.sum() == pytest.approx(np.mean(right))


def test_a_finding_comes_back_as_it_was(found: HeadEmergence, tmp_path: Path) -> None:
    found.save(tmp_path / "emergence")
    back = HeadEmergence.load(tmp_path / "emergence")
    assert str(back) == str(found)
    assert back.to_json() == found.to_json()
    json.dumps(back.to_json(), allow_nan=False)
    assert back.changes == found.changes and back.lags == found.lags
    assert "<table>" in back._repr_html_()
    with pytest.raises(BadInput, match="no curve 'x'"):
        back.curve("x")
    header = tmp_path / "emergence" / "header.json"
    header.write_text(header.read_text().replace('"chosen"', '"picked"'))
    with pytest.raises(CorruptFile, match="chosen"):
        HeadEmergence.load(tmp_path / "emergence")


def test_a_series_of_one_checkpoint_is_refused(tmp_path: Path, corpus: RelationCorpus) -> None:
    tiny_model_directory("gpt2", tmp_path / "step-5")
    with pytest.raises(BadInput, match="has 1 checkpoint here: emergence takes at least 2"):
        follow_heads(str(tmp_path), corpus)
    with pytest.raises(BadInput, match="has no step 7: it has 0, 100"):
        follow_heads(SERIES, corpus, steps=[0, 7])


def test_levels_of_other_checkpoints_or_weights_are_refused(levels: LevelCurves) -> None:
    with pytest.raises(Mismatch, match="not measured at step 7, but at 0, 200"):
        level_curves(levels, (0, 7), levels.model_hashes[:2])
    with pytest.raises(Mismatch, match="other weights at step 200"):
        level_curves(levels, (0, 200), (levels.model_hashes[0], "other"))
    curves = level_curves(levels, STEPS, levels.model_hashes)
    assert [curve.name for curve in curves] == ["format of order, k=4", "pattern of order, k=4"]


def test_a_model_without_such_heads_says_that_there_is_nothing_to_trace(
    corpus: RelationCorpus,
) -> None:
    few = replace(corpus, sequences=corpus.sequences[:30])
    with pytest.raises(BadInput, match="no head of relation is significant"):
        follow_heads(SERIES, few, steps=[0, 100], draws=50)


def test_the_command_traces_a_named_head_and_draws_it(tmp_path: Path) -> None:
    write_documents(tmp_path / "facts.jsonl", draw_documents("binding", n=60, seed=1))
    result = CliRunner().invoke(
        app,
        ["heads", "emergence", SERIES, "--relations", str(tmp_path / "facts.jsonl"), "--steps",
         "0,480,800", "--head", "L1H2", "--random", "0", "--draws", "50", "--bootstrap", "20",
         "--out", str(tmp_path / "out")],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "owns L1H2 per_opportunity" in result.output
    assert "too short" in result.output
    back = HeadEmergence.load(tmp_path / "out")
    assert back.of_kind("ablated") == [] and back.steps == (0, 480, 800)
