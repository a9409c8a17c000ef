import json
import os
import random
import shutil
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sae_lens.saes.sae import SAE
from sae_lens.training.sae_trainer import SAETrainer

from interp.capture.interruption import Interrupted
from interp.capture.store import ActivationStore
from interp.dictionaries.card import DictionaryCard
from interp.dictionaries.files import open_dictionary
from interp.dictionaries.training import TrainingRecipe
from interp.dictionaries.training import loop as loop_module
from interp.dictionaries.training.learner import Learner, trainer_config
from interp.dictionaries.training.log import last_line
from interp.dictionaries.training.plan import plan_training, training_settings
from interp.dictionaries.training.preparation import estimated_mean, estimated_scaler
from interp.dictionaries.training.rows import training_batches
from interp.dictionaries.training.train import train
from interp.results.errors import BadInput, CorruptFile, Mismatch
from tests.dictionaries.training.planted import READ, WRITTEN, planted_rows, planted_store

TRANSCODER = {"arch": "transcoder", "site_out": WRITTEN}
SHORT: dict[str, Any] = {
    "site": READ,
    "d_sae": 24,
    "n_tokens": 2400,
    "batch_size": 100,
    "lr": 3e-3,
    "log_every": 5,
    "dead_feature_window": 6,
    "buffer_bytes": 50_000,
    "checkpoint_every": 7,
}
LONG = {**SHORT, "k": 2, "n_tokens": 20_000, "lr": 1e-2, "checkpoint_every": 1000}
KINDS: dict[str, dict[str, Any]] = {
    "batchtopk": {"k": 2, "lr_warm_up_steps": 5, "lr_decay_steps": 4},
    "topk": {"arch": "topk", "k": 2, "normalize": "expected_average_only_in"},
    "jumprelu": {
        "arch": "jumprelu",
        "options": {"l0_coefficient": 0.1, "l0_warm_up_steps": 10},
        "lr_schedule": "cosineannealing",
    },
    "standard": {
        "arch": "standard",
        "options": {"l1_coefficient": 0.2, "l1_warm_up_steps": 9},
        "normalize": "covariance_whitening",
    },
    "transcoder": {**TRANSCODER, "k": 2, "normalize": "expected_average_only_in"},
}


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in directory.rglob("*")
        if file.is_file()
    }


def share_explained(output: torch.Tensor, target: torch.Tensor) -> float:
    left = (output - target).square().sum() / (target - target.mean(0)).square().sum()
    return 1 - float(left)


def stopping_at(monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
    """Ctrl-C comes during these steps, one in each call of `train`."""
    left = iter(steps)

    @contextmanager
    def interruptible() -> Iterator[Callable[[], bool]]:
        step, last = count(1), next(left, 0)
        yield lambda: next(step) == last

    monkeypatch.setattr(loop_module, "interruptible", interruptible)


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_run_ends_with_the_bytes_of_an_uninterrupted_one(
    store: ActivationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    settings = {**SHORT, **KINDS[kind]}
    train(store, tmp_path / "whole", **settings)
    stopping_at(monkeypatch, 3, 8)
    for _ in range(2):
        with pytest.raises(Interrupted, match="run the same command to go on"):
            train(store, tmp_path / "stopped", **settings)
        assert not (tmp_path / "stopped").exists()
    assert train(store, tmp_path / "stopped", **settings) == [tmp_path / "stopped"]
    assert not (tmp_path / "stopped.training").exists()
    assert files_of(tmp_path / "stopped") == files_of(tmp_path / "whole")


def _killed_at(store: ActivationStore, out: Path, step: int, settings: dict[str, Any]) -> int:
    """Train in a fork that kills itself as step number `step` of this start begins."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        learn, calls = Learner.learn, count(1)

        def learn_or_die(self: Learner, *arguments: Any, **named: Any) -> dict[str, Any]:
            if next(calls) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return learn(self, *arguments, **named)

        Learner.learn = learn_or_die  # type: ignore[method-assign]
        train(store, out, **settings)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_run_killed_at_random_steps_ends_with_the_same_bytes(
    store: ActivationStore, tmp_path: Path
) -> None:
    settings = {**SHORT, "k": [1, 2], "checkpoint_every": 4}
    train(store, tmp_path / "whole", **settings)
    chance, codes = random.Random(5), []
    for _ in range(30):
        # Each start takes two dictionaries' steps; it gets past a checkpoint only now and then.
        codes.append(_killed_at(store, tmp_path / "killed", chance.randint(1, 14), settings))
        if codes[-1] == 0:
            break
    assert codes.count(-signal.SIGKILL) >= 3 and codes[-1] == 0
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


def test_it_takes_the_steps_of_sae_lenss_own_trainer(
    store: ActivationStore, tmp_path: Path
) -> None:
    settings = training_settings(
        arch="standard",
        n_tokens=1000,
        batch_size=100,
        lr=1e-2,
        normalize="expected_average_only_in",
    )
    options = {"l1_coefficient": 0.3, "l1_warm_up_steps": 4}
    plan = plan_training(
        store, site=READ, d_sae=24, settings=settings, arch="standard", options=options
    )
    recipe = plan.recipes[0]
    theirs = Learner(recipe)
    with closing(training_batches(plan.source, batch_size=100)) as batches:
        trainer = SAETrainer(
            trainer_config(recipe, "cpu"), theirs.sae, (batch.rows[READ] for batch in batches)
        )
        trainer.activation_scaler = estimated_scaler(recipe, plan.source)
        trainer.fit()
    (path,) = train(
        store,
        tmp_path / "ours",
        site=READ,
        d_sae=24,
        n_tokens=1000,
        arch="standard",
        options=options,
        batch_size=100,
        lr=1e-2,
        normalize="expected_average_only_in",
    )
    ours = open_dictionary(path)
    for name, tensor in theirs.sae.named_parameters():
        assert torch.allclose(ours.state_dict()[name], tensor.detach(), atol=1e-5), name


@pytest.mark.parametrize("normalize", ["expected_average_only_in", "covariance_whitening"])
def test_a_normalised_dictionary_reconstructs_rows_as_they_are(
    store: ActivationStore, tmp_path: Path, normalize: str
) -> None:
    (path,) = train(store, tmp_path / "d", **LONG, normalize=normalize)
    rows = torch.from_numpy(planted_rows(500, seed=9)[READ])
    sae = open_dictionary(path)
    explained = share_explained(sae(rows), rows)
    assert explained > 0.7
    if normalize == "expected_average_only_in":
        # One factor for all units changes no share.
        assert explained == pytest.approx(last_line(path)["explained_variance"], abs=0.1)
    assert sae.cfg.normalize_activations == "none"


def test_a_transcoder_predicts_the_other_site(store: ActivationStore, tmp_path: Path) -> None:
    settings = {**LONG, **TRANSCODER}
    (path,) = train(store, tmp_path / "t", **settings, normalize="expected_average_only_in")
    held_out = planted_rows(500, seed=9)
    target = torch.from_numpy(held_out[WRITTEN].reshape(500, -1))
    transcoder = open_dictionary(path)
    explained = share_explained(transcoder(torch.from_numpy(held_out[READ])), target)
    assert explained > 0.5
    assert explained == pytest.approx(last_line(path)["explained_variance"], abs=0.1)
    card = DictionaryCard.of(transcoder)
    assert (card.site, card.site_out, card.d_in, card.d_out) == (READ, WRITTEN, 12, 8)


def test_the_bias_of_a_transcoder_starts_at_the_mean_of_its_output(store: ActivationStore) -> None:
    settings = training_settings(arch="transcoder", n_tokens=3000, batch_size=500)
    plan = plan_training(
        store, site=READ, site_out=WRITTEN, d_sae=24, settings=settings, arch="transcoder"
    )
    assert settings.b_dec == "mean"
    scaler = estimated_scaler(plan.recipes[0], plan.source)
    mean = estimated_mean(plan.recipes[0], plan.source, scaler)
    expected = store.rows(WRITTEN, 0, store.n_rows).reshape(-1, 8).mean(0)
    assert np.allclose(mean.numpy(), expected, atol=1e-6)


def test_each_of_several_dictionaries_is_the_one_trained_alone(
    store: ActivationStore, tmp_path: Path
) -> None:
    together = train(store, tmp_path / "all", **{**SHORT, "d_sae": [16, 24], "k": [1, 2]})
    assert [path.name for path in together] == [
        f"{READ}-d{d}-k{k}" for d in (16, 24) for k in (1, 2)
    ]
    (alone,) = train(store, tmp_path / "one", **{**SHORT, "k": 2})
    for name in ("sae_weights.safetensors", "log.jsonl"):
        assert (together[3] / name).read_bytes() == (alone / name).read_bytes()


def test_the_card_recipe_and_log_say_what_was_done(store: ActivationStore, tmp_path: Path) -> None:
    (path,) = train(store, tmp_path / "d", **{**SHORT, "k": 2, "n_tokens": 2450, "seed": 4})
    sae = open_dictionary(path)
    card = DictionaryCard.of(sae)
    assert (card.model, card.model_hash, card.corpus_hash) == ("tiny", "model", "corpus")
    assert (card.n_training_tokens, card.seed, card.store_rows) == (2400, 4, 3000)
    assert card.provenance is not None
    recipe = TrainingRecipe.load(path)
    assert (recipe.settings.n_steps, recipe.options["k"]) == (24, 2.0)
    log = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 5, 10, 15, 20, 24]
    assert log[-1]["n_tokens"] == 2400 and log[-1]["l0"] == pytest.approx(2, abs=0.02)
    assert log[-1]["explained_variance"] > log[0]["explained_variance"]
    assert isinstance(sae, SAE)


def test_a_finished_run_is_left_alone_and_another_recipe_refused(
    store: ActivationStore, tmp_path: Path
) -> None:
    settings = {**SHORT, "k": 2}
    (path,) = train(store, tmp_path / "d", **settings)
    before = (path / "sae_weights.safetensors").stat()
    copied = shutil.copytree(store.path, tmp_path / "a copy of the store")
    assert train(copied, tmp_path / "d", **settings) == [path]
    assert (path / "sae_weights.safetensors").stat() == before
    with pytest.raises(Mismatch, match=r"settings.lr is 0.003 there and 0.001 here"):
        train(store, path, **{**settings, "lr": 1e-3})
    other = train(store, path, **{**settings, "lr": 1e-3}, overwrite=True)
    assert TrainingRecipe.load(other[0]).settings.lr == 1e-3
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(BadInput):
            train(store, tmp_path / "mine", **settings, overwrite=overwrite)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_run_in_progress_goes_on_only_with_its_own_recipe(
    store: ActivationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping_at(monkeypatch, 2)
    with pytest.raises(Interrupted):
        train(store, tmp_path / "d", **SHORT, k=2)
    with pytest.raises(Mismatch, match=r"d-k2, this is .*-k1|k2, this is"):
        train(store, tmp_path / "d", **SHORT, k=1)
    other = planted_store(tmp_path / "other", seed=1)
    with pytest.raises(Mismatch, match="source.identity"):
        train(other, tmp_path / "d", **SHORT, k=2)
    train(store, tmp_path / "d", **SHORT, k=1, overwrite=True)
    assert not (tmp_path / "d.training").exists()


@pytest.mark.parametrize("file", ["header.json", "state-0.safetensors", "random.safetensors"])
def test_a_corrupt_checkpoint_is_one_clear_error(
    store: ActivationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    stopping_at(monkeypatch, 2)
    with pytest.raises(Interrupted):
        train(store, tmp_path / "d", **SHORT, k=2)
    broken = tmp_path / "d.training" / "checkpoint-000000002" / file
    content = bytearray(broken.read_bytes())
    content[len(content) // 2] ^= 1
    broken.write_bytes(content)
    with pytest.raises(CorruptFile, match="checkpoint-000000002"):
        train(store, tmp_path / "d", **SHORT, k=2)
    broken.write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptFile, match="checkpoint-000000002"):
        train(store, tmp_path / "d", **SHORT, k=2)


def test_a_loss_that_is_not_finite_ends_the_run(store: ActivationStore, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"the loss is (nan|inf) at step .* lower --lr"):
        train(store, tmp_path / "d", **{**SHORT, "arch": "standard", "lr": 1e30})
    assert not list(tmp_path.iterdir())


def test_a_nan_in_the_store_is_refused_by_site_and_row(tmp_path: Path) -> None:
    spoilt = planted_store(tmp_path / "store", spoilt=(2000, float("nan")))
    with pytest.raises(BadInput, match=f"{WRITTEN} is nan in row 2000"):
        settings = {**SHORT, "n_tokens": 3000, "checkpoint_every": 1000, **TRANSCODER}
        train(spoilt, tmp_path / "d", **settings, k=2)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_nothing_is_left_where_a_tracker_is_not_there(
    store: ActivationStore, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="no log-to 'paper'"):
        train(store, tmp_path / "d", **SHORT, k=2, log_to="paper")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [{}, TRANSCODER])
def test_the_log_says_how_many_features_the_saved_dictionary_has_on(
    store: ActivationStore, tmp_path: Path, kind: dict[str, Any]
) -> None:
    settings = {**SHORT, **kind, "k": 2, "batch_size": 3000, "n_tokens": 30_000}
    (path,) = train(store, tmp_path / "d", **settings, normalize="expected_average_only_in")
    rows = torch.from_numpy(store.rows(READ, 0, store.n_rows))
    on = float((open_dictionary(path).encode(rows) > 0).sum(dim=-1).float().mean())
    said = last_line(path)
    assert said["l0_saved"] == pytest.approx(on, rel=1e-3)
    assert on > 1.5 * said["l0"]


def test_where_selection_needs_no_threshold_none_is_told_of(
    store: ActivationStore, tmp_path: Path
) -> None:
    (path,) = train(store, tmp_path / "d", **SHORT, arch="topk", k=2)
    assert "l0_saved" not in last_line(path)
