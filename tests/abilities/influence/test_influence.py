"""Influence: cosines of gradients, their null, and what narrowing keeps."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from interp.abilities.influence.adam import AdamForm, Moments, adam_direction
from interp.abilities.influence.cosines import Part, checkpoint_weights, scores_of, unit_vectors
from interp.abilities.influence.gradients import exact_gradients
from interp.abilities.influence.influence import Influence
from interp.abilities.influence.narrowing import narrow
from interp.abilities.influence.rows import batch_rows, encode_row, read_rows, row_losses
from interp.abilities.influence.scoring import influence_of
from interp.abilities.influence.sketches import random_signs, sketched_gradients, sketched_steps
from interp.abilities.influence.warm_up import checkpoint_steps, mean_rates
from interp.abilities.training.masked_training import TrainingRecipe
from interp.cli.app import app
from interp.models.trainable import read_trainable
from interp.results.errors import BadInput, CorruptFile, Mismatch
from tests.abilities.learning import small_llama, write_examples
from tests.models import tiny_model_directory

WARM_UP = TrainingRecipe(steps=8, lr=1e-3, batch_size=4, warmup=2)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_llama(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    return (
        write_examples(directory / "train.jsonl", n=24, seed=1),
        write_examples(directory / "validation.jsonl", n=9, seed=2),
    )


@pytest.fixture(scope="module")
def found(small, files):
    return influence_of(small, *files)


def _rows(path, trained, n=None):
    tokenizer = trained.tokenizer()
    return [encode_row(row, tokenizer, length=64) for row in read_rows(path)][:n]


def _inside(trained):
    return {n: p for n, p in trained.parameters.items() if n not in trained.embeddings}


def _lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("style", ["llama", "gpt2", "neox", "olmo"])
def test_gradients_of_a_batch_are_those_of_every_row_alone(style, tmp_path, files):
    trained = read_trainable(tiny_model_directory(style, tmp_path / style))
    rows = _rows(files[0], trained, 3)
    gradients = exact_gradients(trained.model, _inside(trained))
    together = gradients.of(batch_rows(rows))
    wanted = [trained.parameters[name].requires_grad_(True) for name in gradients.tensors]
    for row, vector in zip(rows, together, strict=True):
        alone = torch.autograd.grad(row_losses(trained.model, batch_rows([row])).sum(), wanted)
        expected = torch.cat([one.flatten() for one in alone])
        torch.testing.assert_close(vector, expected, atol=1e-5, rtol=1e-4)
    matrices = {n for n, p in _inside(trained).items() if p.ndim == 2}
    assert matrices <= set(gradients.tensors)


def test_a_row_of_several_lengths_has_the_loss_it_has_alone(small, tmp_path):
    trained = read_trainable(small)
    path = _lines(
        tmp_path / "rows.jsonl",
        [{"prompt": "w4 w5 w6 w7", "answer": "w8"}, {"text": " ".join(["w9", "w10"] * 40)}],
    )
    rows = _rows(path, trained)
    assert len(rows[1].pieces) == 2
    together = row_losses(trained.model, batch_rows(rows))
    alone = [row_losses(trained.model, batch_rows([row])) for row in rows]
    torch.testing.assert_close(together, torch.cat(alone))


def test_sketched_cosines_are_the_exact_ones_within_a_twentieth(small, files):
    trained = read_trainable(small)
    weights = {n: p for n, p in _inside(trained).items() if p.ndim == 2}
    batch = batch_rows(_rows(files[0], trained, 16))
    units = [
        unit_vectors(vectors.of(batch))
        for vectors in (
            exact_gradients(trained.model, weights),
            sketched_gradients(trained.model, weights, dim=8192, seed=3),
        )
    ]
    exact, sketched = (one @ one.T for one in units)
    assert (exact - sketched).square().mean().sqrt() < 1.5 / 8192**0.5
    assert (exact - sketched).abs().max() < 0.05
    assert exact.std() > 0.05


@pytest.mark.parametrize("style", ["llama", "gpt2"])
def test_the_sketch_of_a_plain_step_is_the_sketch_of_its_gradient(style, tmp_path, files):
    trained = read_trainable(tiny_model_directory(style, tmp_path / style))
    tensors = _inside(trained)
    batch = batch_rows(_rows(files[0], trained, 1))
    steps = sketched_steps(trained.model, tensors, lambda _, g: g, dim=100, seed=3)
    gradients = sketched_gradients(trained.model, tensors, dim=100, seed=3)
    torch.testing.assert_close(steps.of(batch), gradients.of(batch), atol=1e-5, rtol=1e-4)
    assert steps.tensors == gradients.tensors


def test_a_narrow_map_is_projected_by_orthonormal_columns_that_lean_to_no_side():
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([random_signs(24, 8, generator) for _ in range(400)])
    torch.testing.assert_close(drawn.mT @ drawn, torch.eye(8).expand(400, 8, 8))
    # Every entry has variance 1 / 24: the mean of 400 is within five standard errors of 0.
    assert float(drawn.mean(0).abs().max()) < 5 / (24 * 400) ** 0.5


def test_other_seeds_give_other_sketches_and_the_same_seed_the_same(small, files):
    trained = read_trainable(small)
    batch = batch_rows(_rows(files[0], trained, 2))
    one, same, other = (
        sketched_gradients(trained.model, _inside(trained), dim=64, seed=seed).of(batch)
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


def test_the_sgd_form_does_not_see_the_size_of_a_loss_and_the_adam_form_does():
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(4, 30, generator=generator)
    reference = unit_vectors(torch.randn(1, 30, generator=generator))
    scale = torch.tensor([1.0, 7.0, 1e-3, 1e-20])[:, None]
    same = unit_vectors(gradients * scale) @ reference.T
    torch.testing.assert_close(same, unit_vectors(gradients) @ reference.T, atol=1e-6, rtol=1e-6)
    mean = {"w": torch.randn(30, generator=generator)}
    step = adam_direction(Moments(mean, {"w": torch.ones(30)}, 10), AdamForm())
    plain, scaled = (
        unit_vectors(torch.stack([step("w", g) for g in rows])) @ reference.T
        for rows in (gradients, gradients * scale)
    )
    assert (plain - scaled)[1:3].abs().min() > 1e-3


def test_a_gradient_of_zeros_is_no_step_and_has_no_cosine_to_speak_of():
    assert torch.equal(unit_vectors(torch.zeros(1, 5)), torch.zeros(1, 5))


@pytest.mark.parametrize("epsilon", ["inside", "outside"])
@pytest.mark.parametrize("corrected", [False, True])
def test_adams_step_is_the_update_that_torchs_adam_makes(epsilon, corrected):
    generator = torch.Generator().manual_seed(1)
    weight = torch.nn.Parameter(torch.randn(6, generator=generator))
    optimizer = torch.optim.Adam([weight], lr=1.0)
    for _ in range(3):
        weight.grad = torch.randn(6, generator=generator)
        optimizer.step()
    state = optimizer.state[weight]
    moments = Moments({"w": state["exp_avg"].clone()}, {"w": state["exp_avg_sq"].clone()}, 3)
    gradient = torch.randn(6, generator=generator)
    form = AdamForm(adam_epsilon=epsilon, bias_correction=corrected)
    step = adam_direction(moments, form)("w", gradient)
    before = weight.detach().clone()
    weight.grad = gradient
    optimizer.step()
    made = before - weight.detach()
    if not corrected:
        made = made * (1 - 0.9**4) / (1 - 0.999**4) ** 0.5
    if epsilon == "outside" and corrected:
        torch.testing.assert_close(step, made)
    else:
        torch.testing.assert_close(step, made, rtol=1e-3, atol=1e-5)


def test_epsilon_inside_the_root_swamps_small_second_moments():
    moments = Moments({"w": torch.ones(1)}, {"w": torch.full((1,), 1e-14)}, 5)
    inside, outside = (
        float(adam_direction(moments, AdamForm(adam_epsilon=where))("w", torch.zeros(1)))
        for where in ("inside", "outside")
    )
    assert inside == pytest.approx(0.9 / 1e-4, rel=1e-3)
    assert outside == pytest.approx(0.9 / (0.999e-14**0.5 + 1e-8), rel=1e-3)


def test_checkpoint_weights_are_mean_rates_that_sum_to_one():
    rates = mean_rates(WARM_UP, 4)
    weights = checkpoint_weights(rates)
    assert sum(weights) == pytest.approx(1, abs=1e-12)
    assert weights[1] / weights[2] == pytest.approx(rates[1] / rates[2])
    assert checkpoint_steps(10, 3) == [3, 6, 10]
    with pytest.raises(BadInput, match="from 1 to 8"):
        checkpoint_steps(8, 9)


def test_scores_are_the_largest_subtasks_mean_over_its_examples():
    parts = [Part(0, None, 2), Part(0, None, 1), Part(1, None, 3), Part(0, 0, 3), Part(1, 0, 3)]
    cosines = np.array([[0.3, 0.6, 0.1, 0.0, 0.2], [0.0, 0.3, 0.5, -0.1, -0.4]])
    found = scores_of(cosines, parts)
    np.testing.assert_allclose(found.by_subtask, [[0.4, 0.1], [0.1, 0.5]])
    np.testing.assert_allclose(found.score, [0.4, 0.5])
    np.testing.assert_allclose(found.null, [[0.2, -0.1]])
    assert np.isnan(found.interval[1]).all()
    assert found.interval[0].mean() == pytest.approx(0.4)


def test_a_training_example_that_is_asked_in_validation_ranks_first(small, files, tmp_path):
    train, _ = files
    lines = train.read_text().splitlines(keepends=True)
    asked = tmp_path / "asked.jsonl"
    asked.write_text(lines[17])
    found = influence_of(small, train, asked)
    assert found.row[found.ranked()[0]] == 18
    assert found.score.max() == pytest.approx(1, abs=1e-5)
    assert found.n_validation == (1,)


def test_the_score_is_the_mean_cosine_taken_pair_by_pair(small, files, found):
    trained = read_trainable(small)
    gradients = exact_gradients(trained.model, _inside(trained))
    train, asked = (
        unit_vectors(torch.cat([gradients.of(batch_rows([row])) for row in _rows(path, trained)]))
        for path in files
    )
    np.testing.assert_allclose(found.score, (train @ asked.T).mean(1).numpy(), atol=1e-6)
    np.testing.assert_array_equal(found.row, np.arange(1, 25))


def test_subtasks_are_told_by_a_field_and_the_largest_gives_the_score(small, files, tmp_path):
    train, validation = files
    rows = [json.loads(line) for line in validation.read_text().splitlines()]
    named = [{**row, "task": "ab"[i % 2]} for i, row in enumerate(rows)]
    both = influence_of(small, train, _lines(tmp_path / "both.jsonl", named))
    alone = [
        influence_of(small, train, _lines(tmp_path / f"{name}.jsonl", named[i::2]))
        for i, name in enumerate("ab")
    ]
    assert both.subtasks == ("a", "b")
    expected = np.stack([one.score for one in alone], axis=1)
    np.testing.assert_allclose(both.by_subtask, expected, atol=1e-6)
    np.testing.assert_allclose(both.score, expected.max(1), atol=1e-6)


def test_where_answers_do_not_matter_nothing_stands_out_and_one_answer_cannot_be_shuffled(
    small, files, tmp_path
):
    rows = [{"prompt": f"w{i} w5", "answer": "w9"} for i in range(6, 14)]
    found = influence_of(small, files[0], _lines(tmp_path / "one.jsonl", rows))
    np.testing.assert_allclose(found.null[0], found.score, atol=1e-6)
    assert found.n_significant() == 0
    assert found.threshold() is None


def test_the_null_shuffles_answers_and_texts_are_their_own_words(small, files, tmp_path):
    texts = [{"text": " ".join(f"w{4 + (i * j) % 27}" for j in range(1, 9))} for i in range(1, 9)]
    found = influence_of(small, files[0], _lines(tmp_path / "text.jsonl", texts), shuffles=3)
    assert found.null.shape == (3, 24)
    assert not np.allclose(found.null[0], found.null[1])
    assert not np.allclose(found.null.mean(0), found.score, atol=1e-4)


def test_measuring_leaves_a_training_as_it_would_be_without(small, files):
    from interp.abilities.influence.warm_up import train_with_checkpoints
    from interp.models.examples import read_examples

    def trained_after(measure):
        trained = read_trainable(small)
        data = read_examples(files[0], trained.tokenizer())
        gradients = exact_gradients(trained.model, _inside(trained))
        batch = batch_rows(_rows(files[0], trained, 2))
        train_with_checkpoints(
            trained, data, recipe=WARM_UP, checkpoints=2,
            at_checkpoint=lambda *_: gradients.of(batch) if measure else None,
        )  # fmt: skip
        return {name: p.detach().clone() for name, p in trained.parameters.items()}

    with_it, without = trained_after(True), trained_after(False)
    assert all(torch.equal(with_it[name], without[name]) for name in without)


@pytest.mark.slow
def test_influence_over_checkpoints_weighs_them_and_adam_takes_other_steps(small, files, found):
    sgd = influence_of(small, *files, warm_up=WARM_UP, checkpoints=2)
    adam = influence_of(small, *files, warm_up=WARM_UP, checkpoints=2, form="adam")
    sketched = influence_of(small, *files, warm_up=WARM_UP, checkpoints=2, form="adam", sketch=8192)
    assert sum(sgd.checkpoint_weights) == pytest.approx(1)
    assert np.corrcoef(sgd.score, found.score)[0, 1] > 0.9
    assert not np.allclose(adam.score, sgd.score, atol=1e-3)
    assert np.abs(adam.score - sketched.score).max() < 0.05
    assert sketched.dim == 8100


def test_an_optimizers_state_gives_the_moments(small, files, tmp_path):
    inside = _inside(read_trainable(small))
    state = {f"exp_avg.{name}": torch.zeros_like(p) for name, p in inside.items()}
    state |= {f"exp_avg_sq.{name}": torch.full_like(p, 1e6) for name, p in inside.items()}
    state |= {"step": torch.tensor([100.0])}
    path = tmp_path / "state.safetensors"
    save_file({name: t.detach().contiguous() for name, t in state.items()}, path)
    adam = influence_of(small, *files, form="adam", optimizer_state=path)
    sgd = influence_of(small, *files)
    np.testing.assert_allclose(adam.score, sgd.score, atol=1e-4)
    del state["step"]
    save_file({name: t.detach().contiguous() for name, t in state.items()}, path)
    with pytest.raises(BadInput, match="lacks 'step'"):
        influence_of(small, *files, form="adam", optimizer_state=path)


def test_adam_without_moments_is_refused_with_what_to_give(small, files):
    with pytest.raises(BadInput, match="--steps 100"):
        influence_of(small, *files, form="adam")


def test_a_line_that_teaches_nothing_is_named(small, files, tmp_path):
    path = _lines(tmp_path / "bad.jsonl", [{"text": "w4 w5"}, {"prompt": "w4", "answer": ""}])
    with pytest.raises(BadInput, match="line 2"):
        influence_of(small, path, files[1])
    empty = _lines(tmp_path / "empty.jsonl", [])
    with pytest.raises(BadInput, match="is empty"):
        influence_of(small, empty, files[1])


def test_saved_influence_loads_the_same_and_a_cut_one_is_refused(found, tmp_path):
    path = found.save(tmp_path / "influence")
    again = Influence.load(path)
    for name in ("score", "interval", "by_subtask", "halves", "null", "row", "hash", "n_tokens"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    assert replace(again, **{n: getattr(found, n) for n in vars(found)}) is not None
    assert again.provenance == found.provenance
    assert (again.subtasks, again.dim, again.left_out) == (found.subtasks, None, found.left_out)
    header = json.loads((path / "header.json").read_text())
    del header["form"]
    (path / "header.json").write_text(json.dumps(header))
    with pytest.raises(CorruptFile, match="form"):
        Influence.load(path)


def _influence_of_scores(found, score, null, n_tokens=None):
    n = len(score)
    return replace(
        found,
        score=score,
        null=null,
        interval=np.zeros((n, 2)),
        by_subtask=score[:, None],
        halves=np.stack([score, score]),
        row=np.arange(1, n + 1),
        hash=np.zeros((n, 32), np.uint8),
        n_tokens=np.ones(n, np.int64) if n_tokens is None else n_tokens,
    )


def test_scores_of_the_null_itself_stand_out_no_more_than_promised(found):
    rng = np.random.default_rng(0)
    falsely = [
        _influence_of_scores(found, rng.normal(size=200), rng.normal(size=(5, 200))).n_significant()
        for _ in range(100)
    ]
    assert np.mean(np.array(falsely) > 0) < 0.1


def test_planted_scores_stand_out_and_the_threshold_is_the_lowest_of_them(found):
    rng = np.random.default_rng(1)
    score = np.concatenate([rng.normal(size=180), np.linspace(8, 9, 20)])
    planted = _influence_of_scores(found, score, rng.normal(size=(10, 200)))
    assert planted.significant()[180:].all()
    assert planted.n_significant() <= 25
    assert planted.threshold() == score[planted.significant()].min()


def test_the_correlation_with_length_is_seen_and_equal_lengths_have_none(found):
    score = np.linspace(0, 1, 50)
    null = np.zeros((2, 50))
    shorter = _influence_of_scores(found, score, null, np.arange(50, 0, -1))
    assert shorter.length_correlation.value == pytest.approx(-1)
    assert np.isnan(_influence_of_scores(found, score, null).length_correlation.value)


def test_halves_of_the_validation_are_means_over_every_second_fold(found):
    assert found.halves.shape == (2, 24)
    # Nine examples in eight folds: the first fold, and so the first half, has one more.
    np.testing.assert_allclose((5 * found.halves[0] + 4 * found.halves[1]) / 9, found.score)
    assert -1 < found.split_half.value < 1
    assert found.reliability == pytest.approx(
        2 * found.split_half.value / (1 + found.split_half.value)
    )


def test_narrowing_keeps_the_highest_lines_as_they_stand(found, files, tmp_path):
    lines = files[0].read_text().splitlines()
    out = tmp_path / "narrowed.jsonl"
    assert narrow(found, files[0], out, keep=0.25) == 6
    best = sorted(found.row[found.ranked()[:6]])
    assert out.read_text().splitlines() == [lines[row - 1] for row in best]
    with pytest.raises(BadInput, match="exists"):
        narrow(found, files[0], out)
    with pytest.raises(BadInput, match=r"0\.05"):
        narrow(found, files[0], tmp_path / "none.jsonl", keep=0.0)
    changed = tmp_path / "changed.jsonl"
    changed.write_text("\n".join(reversed(lines)) + "\n")
    with pytest.raises(Mismatch, match="not the one that was scored"):
        narrow(found, changed, tmp_path / "other.jsonl")
    assert not (tmp_path / "other.jsonl").exists()


def test_the_command_narrows_a_corpus_and_says_what_it_found(small, files, tmp_path):
    narrowed, out = tmp_path / "narrowed.jsonl", tmp_path / "influence"
    arguments = ["ability", "influence", small, *files, "--keep", 0.5, "--write", narrowed]
    run = CliRunner().invoke(app, [*map(str, arguments), "--out", str(out), "--json"])
    assert run.exit_code == 0, run.output
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["n"] == 24
    assert result["narrowed"]["n"] == len(narrowed.read_text().splitlines()) == 12
    assert Influence.load(out).score.max() == result["best"][0]["score"]
    said = CliRunner().invoke(app, [*map(str, arguments[:5]), "--out", str(out), "--overwrite"])
    assert "24 training examples against 9 of all; exact gradients" in said.stdout
    assert "rank correlation with length: undefined" in said.stdout


@pytest.mark.slow
def test_lines_of_the_cells_that_are_asked_rank_above_general_lines(tmp_path):
    from probes.polyglot import ability_training, general_training, items

    asked = [i for i in items("validation", languages=("A",)) if i["task"] == "ability"]
    cells = {item["prompt"] for item in asked}
    ability = [row for row in ability_training(1, n=800) if row["prompt"] in cells][:60]
    general = general_training(1, n=120, languages="ABCDE")
    found = influence_of(
        "polyglot",
        _lines(tmp_path / "corpus.jsonl", ability + general),
        _lines(tmp_path / "asked.jsonl", asked),
        sketch=2048,
        shuffles=1,
    )
    above = found.score[:60, None] > found.score[None, 60:]
    assert above.mean() > 0.75
