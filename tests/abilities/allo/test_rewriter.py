import json

import pytest
import torch
from typer.testing import CliRunner

from interp.abilities.allo.corrections import Correction
from interp.abilities.allo.pairs import read_pairs
from interp.abilities.allo.reinforcement import reinforce, reinforce_model, rewarded_texts
from interp.abilities.allo.rewarded import reward
from interp.abilities.allo.rewriter import kept_probabilities, template_of, train_rewriter
from interp.abilities.training.masked_training import TrainingRecipe
from interp.cli.app import app
from interp.models.trainable import read_trainable
from interp.results.errors import BadInput, Unsupported
from tests.abilities.learning import small_llama

QUICK = TrainingRecipe(steps=2, batch_size=4, warmup=1, freeze_embeddings=False)


def write_rows(path, n=6):
    rows = [
        {
            "prompt": f"w{4 + i} w5",
            "chosen": f"w6 w7 w{8 + i}",
            "rejected": f"w6 w9 w{9 + i}",
            "rewrite": f"w6 w9 w7 w{8 + i}",
            "wrong": [False, False, True],
        }
        for i in range(n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("rewriter")
    base, rows = small_llama(directory / "base"), write_rows(directory / "rows.jsonl")
    template = "{prediction} w4 {solution}"
    train_rewriter(base, rows, directory / "rewriter", template=template, recipe=QUICK)
    reward(directory / "rewriter", rows, directory / "weighted.jsonl")
    return directory


def test_a_token_is_as_likely_as_the_models_own_softmax_says(made):
    trained = read_trainable(made / "rewriter")
    row = Correction(problem="w4", solution="w5 w6", prediction="w7 w8 w9")
    found = kept_probabilities(trained, [row])[0]
    said = "w4 w5 w6 w7 w8 w9 w7 w8 w9"
    ids = trained.tokenizer()(said, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        p = trained.model(input_ids=torch.tensor([ids])).logits[0].softmax(-1)
    expected = [float(p[place - 1, ids[place]]) for place in (6, 7, 8)]
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_rows_probabilities_do_not_depend_on_longer_neighbours(made):
    trained = read_trainable(made / "rewriter")
    short = Correction(problem="w4", solution="w5", prediction="w7")
    long = Correction(problem="w4 w4 w4", solution="w5 w6 w6", prediction="w7 w8 w9 w9")
    together = kept_probabilities(trained, [short, long])
    assert together[0] == pytest.approx(kept_probabilities(trained, [short])[0], abs=1e-6)


def test_the_rewriting_model_remembers_its_template(made):
    assert template_of(made / "rewriter") == "{prediction} w4 {solution}"


def test_a_model_that_was_not_trained_to_rewrite_is_asked_only_by_a_given_template(made):
    with pytest.raises(BadInput, match="--template"):
        reward(made / "base", made / "rows.jsonl", made / "other.jsonl")
    assert not (made / "other.jsonl").exists()


def test_the_weighted_file_is_what_an_alignment_reads(made):
    pairs = read_pairs(made / "weighted.jsonl")
    assert [len(pair.rejected_weights or ()) for pair in pairs] == [3] * 6
    rows = [json.loads(line) for line in (made / "weighted.jsonl").read_text().splitlines()]
    for row in rows:
        assert row["rejected_weights"] == [float(p < 0.5) for p in row["rejected_probabilities"]]
        assert len(row["chosen_probabilities"]) == 3


def test_every_rule_writes_its_own_weights_and_the_same_bytes_twice(made, tmp_path):
    for name in ("one", "two"):
        reward(made / "rewriter", made / "rows.jsonl", tmp_path / name, rule="soft")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    row = json.loads((tmp_path / "one").read_text().splitlines()[0])
    assert row["rejected_weights"] == pytest.approx([1 - p for p in row["rejected_probabilities"]])


def test_an_existing_file_and_an_unknown_rule_are_refused_before_any_work(made):
    with pytest.raises(BadInput, match="exists"):
        reward(made / "rewriter", made / "rows.jsonl", made / "weighted.jsonl")
    with pytest.raises(BadInput, match="'hard'"):
        reward(made / "rewriter", made / "rows.jsonl", made / "x.jsonl", rule="hard")


def test_the_commands_run_one_after_the_other(made, tmp_path):
    run = CliRunner().invoke
    options = ["--steps", "2", "--batch-size", "4", "--warmup", "1", "--json"]
    model, weighted, better = (str(tmp_path / n) for n in ("rewriter", "weighted.jsonl", "better"))
    rows, base = str(made / "rows.jsonl"), str(made / "base")
    made_model = run(app, ["ability", "rewriter", base, rows, "--out", model, *options])
    assert made_model.exit_code == 0, made_model.output
    assert json.loads(made_model.stdout)["n_rewrites"] == 6
    scored = run(app, ["ability", "reward", model, rows, "--out", weighted, "--json"])
    assert scored.exit_code == 0, scored.output
    assert json.loads(scored.stdout)["agreement"]["base_rate"] == pytest.approx(1 / 3)
    trained = run(app, ["ability", "reinforce", base, weighted, "--out", better, *options])
    assert trained.exit_code == 0, trained.output
    assert read_trainable(tmp_path / "better").parameters


def test_reinforcing_imitates_where_the_rewrite_differs_and_pushes_down_only_the_rejected(made):
    trained = read_trainable(made / "base")
    rows = [json.loads(line) for line in (made / "weighted.jsonl").read_text().splitlines()]
    texts = rewarded_texts(trained, rows[:1])
    answers = [texts.answer[row] for row in range(3)]
    rejected, chosen, rewrite = (texts.rewards[i][answers[i]] for i in range(3))
    assert bool((rejected <= 0).all()) and bool((rejected >= -0.1 - 1e-6).all())
    assert bool((chosen >= 0).all()) and not rewrite.any()
    assert texts.imitation[2][answers[2]].tolist() == [0.5, 0.5, 1.0, 1.0]
    assert texts.imitation[1][answers[1]].tolist() == [0.5] * 3
    assert not texts.imitation[0].any()


def test_reinforcing_lowers_its_loss_and_makes_the_rewrite_likelier(made):
    trained = read_trainable(made / "base")
    rows = [json.loads(line) for line in (made / "weighted.jsonl").read_text().splitlines()]
    recipe = TrainingRecipe(steps=15, lr=3e-2, batch_size=18, warmup=2)
    losses = reinforce_model(trained, rewarded_texts(trained, rows), recipe=recipe)
    assert losses[-1] < 0.5 * losses[0]


def test_pairs_without_scores_cannot_be_reinforced(made, tmp_path):
    with pytest.raises(BadInput, match="interp ability reward"):
        reinforce(made / "base", made / "rows.jsonl", tmp_path / "out", recipe=QUICK)
    assert not (tmp_path / "out").exists()


def test_several_processes_are_refused_rather_than_set_to_the_same_work(
    made, tmp_path, monkeypatch
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for work in (reinforce, train_rewriter):
        with pytest.raises(Unsupported, match="runs in one process"):
            work(tmp_path / "model", tmp_path / "file.jsonl", tmp_path / "out")
