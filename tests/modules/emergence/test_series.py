"""A series of tiny checkpoints followed to its end, gone on with, and what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from interp.modules.emergence import Stability, follow_series
from interp.plots.emergence import emergence_figure
from interp.results.errors import BadInput, CorruptFile, Mismatch
from tests.models import tiny_model_directory

SETTINGS: dict[str, Any] = {
    "labels": ["first"],
    "n_experts": 4,
    "length": 8,
    "n_permutations": 3,
    "seed": 0,
}
TINY = {"activation_function": "relu", "n_layer": 1, "n_inner": 16, "n_embd": 8, "n_head": 2}


def _checkpoint(directory: Path, seed: int, **config: Any) -> None:
    tiny_model_directory("gpt2", directory, seed=seed, **{**TINY, **config})


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three checkpoints, of which the last two are the same model."""
    directory = tmp_path_factory.mktemp("series")
    for step, seed in ((0, 0), (10, 1), (20, 1)):
        _checkpoint(directory / f"step-{step}", seed)
    return directory


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "lines.jsonl"
    rows = [
        {"text": " ".join(f"w{word}" for word in words), "first": int(words[0] < 32)}
        for words in rng.integers(4, 60, (120, 8))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def followed(series: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "emergence"
    follow_series(str(series), data, out, **SETTINGS)
    return out


def test_two_checkpoints_of_one_model_are_stable_in_everything_but_their_starts(
    followed: Path,
) -> None:
    found = Stability.load(followed)
    assert found.setup.steps == (0, 10, 20)
    same, moved = 1, 0
    for level in ("neuron", "expert", "random"):
        np.testing.assert_allclose(found.level(level).value[:, same], 1.0, atol=1e-12)
        assert (found.level(level).value[:, moved] < 0.9).all()
    np.testing.assert_allclose(found.coactivation_change[:, same], 0.0, atol=1e-9)
    assert (found.coactivation_change[:, moved] > 0.2).all()
    # Other tokens, the same model: what the text alone changes, which is the floor.
    floor = found.coactivation_floor[:, same]
    np.testing.assert_allclose(found.coactivation_across[:, same], floor)
    assert (floor > 0.01).all()
    # The same weights, but no shared draws: as far apart as two starts of one checkpoint.
    assert (np.abs(found.partition_ari[:, same] - found.ceiling_ari[:, 1]) < 0.25).all()
    np.testing.assert_array_equal(found.active[:, 1], found.active[:, 2])


def test_shapes_are_those_of_layers_steps_starts_draws_and_functions(followed: Path) -> None:
    found = Stability.load(followed)
    assert found.neuron.shape == (1, 2, 1)
    assert found.expert.shape == (1, 2, 8, 1)
    assert found.random.shape == (1, 2, 50, 1)
    assert found.floor_ari.shape == (1, 50)
    assert abs(found.floor_ari.mean()) < 0.1
    assert found.random_spread().shape == found.start_spread().shape == (1, 2)


def test_two_checkpoints_share_no_start(followed: Path) -> None:
    from interp.modules.emergence.checkpoint import CheckpointRecord

    first, second = (
        CheckpointRecord.load(followed / "checkpoints" / f"step-{step}").layer(0).starts
        for step in (10, 20)
    )
    assert not np.array_equal(first, second)


def test_a_finished_checkpoint_is_kept_and_the_rest_is_made_the_same(
    followed: Path, series: Path, data: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    shutil.copytree(followed, again)
    shutil.rmtree(again / "stability")
    shutil.rmtree(again / "checkpoints" / "step-20")
    kept = again / "checkpoints" / "step-0" / "interp.json"
    had = kept.stat().st_mtime_ns
    follow_series(str(series), data, again, **SETTINGS)
    assert kept.stat().st_mtime_ns == had
    one, two = Stability.load(followed), Stability.load(again)
    assert one.to_json() == two.to_json()


def test_a_run_of_other_settings_is_not_gone_on_with(
    followed: Path, series: Path, data: Path
) -> None:
    with pytest.raises(Mismatch, match="begun with n_experts 4, not 2"):
        follow_series(str(series), data, followed, **{**SETTINGS, "n_experts": 2})


def test_a_checkpoint_whose_weights_changed_is_not_kept(
    followed: Path, series: Path, data: Path, tmp_path: Path
) -> None:
    other, out = tmp_path / "series", tmp_path / "out"
    shutil.copytree(series, other)
    shutil.copytree(followed, out)
    shutil.rmtree(other / "step-0")
    _checkpoint(other / "step-0", seed=7)
    with pytest.raises(Mismatch, match="measured on other weights"):
        follow_series(str(other), data, out, **SETTINGS)


def test_a_series_of_different_shapes_is_refused_before_any_work(
    series: Path, data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "series"
    shutil.copytree(series, other)
    shutil.rmtree(other / "step-20")
    _checkpoint(other / "step-20", 0, n_inner=24)
    with pytest.raises(Mismatch, match=r"different shapes: .*mlp.* 16.* at step 0 and .*24"):
        follow_series(str(other), data, tmp_path / "out", **SETTINGS)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_followed_is_refused(series: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def follow(**changed: Any) -> None:
        follow_series(str(series), data, out, **{**SETTINGS, **changed})

    with pytest.raises(BadInput, match="16 neurons cannot be dealt to 5 experts"):
        follow(n_experts=5)
    for wrong, message in (
        ({"n_starts": 4}, "at least 8"),
        ({"n_random": 10}, "and 50"),
        ({"steps": [0]}, "a change takes two"),
        ({"steps": [0, 5]}, "has no step 5"),
        ({"reference": 5}, "reference step 5"),
    ):
        with pytest.raises(BadInput, match=message):
            follow(**wrong)
    assert not out.exists()


def test_a_saved_finding_comes_back_and_an_altered_one_is_refused(
    followed: Path, tmp_path: Path
) -> None:
    found = Stability.load(followed)
    found.save(tmp_path / "copy")
    back = Stability.load(tmp_path / "copy")
    assert back.to_json() == found.to_json() and str(back) == str(found)
    json.dumps(back.to_json(), allow_nan=False)
    assert "<table>" in back._repr_html_()
    (tmp_path / "copy" / "data.safetensors").write_bytes(b"0")
    with pytest.raises(CorruptFile):
        Stability.load(tmp_path / "copy")


def test_the_figure_shows_every_curve_and_draws_where_nothing_was_measured(followed: Path) -> None:
    found = Stability.load(followed)
    names = {
        trace["name"] for trace in emergence_figure(found).to_dict()["data"] if "name" in trace
    }
    assert {"best neuron", "experts", "neurons", "random partitions", "ARI"} <= names
    assert {"ARI of starts (ceiling)", "active", "dead", "same text", "cannot tell"} <= names
    empty = replace(
        found,
        **{
            name: np.full_like(value, np.nan)
            for name, value in vars(found).items()
            if isinstance(value, np.ndarray)
        },
    )
    emergence_figure(empty, site=found.setup.sites[0])
    assert all(settled.step is None for settled in empty.settled())
    with pytest.raises(BadInput, match="no site"):
        emergence_figure(found, site="elsewhere")


def test_partitions_at_chance_are_never_said_to_settle(followed: Path) -> None:
    found = Stability.load(followed)

    def told(*ceiling: float) -> list[int | None]:
        shown = replace(
            found,
            ceiling_ari=np.array([ceiling]),
            partition_ari=np.full_like(found.partition_ari, 0.03),
            floor_ari=np.zeros_like(found.floor_ari),
        )
        return [s.step for s in shown.settled() if s.curve == "partition"]

    # Starts agree so little that the ARI asked for is one that chance gives: 0.12 - 0.1.
    assert told(0.12, 0.12, 0.12) == [None]
    # One pair like that is enough, however well the starts of the others agree.
    assert told(0.9, 0.12, 0.12) == [None]
    well = replace(found, ceiling_ari=np.full_like(found.ceiling_ari, 0.9),
                   partition_ari=np.full_like(found.partition_ari, 0.85))  # fmt: skip
    assert [s.step for s in well.settled() if s.curve == "partition"] == [0]


def test_the_command_prints_and_writes_the_figure(
    series: Path, data: Path, followed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from interp.cli.modules.emergence import emergence

    out = tmp_path / "out"
    shutil.copytree(followed, out)
    emergence(str(series), str(data), ["first"], 4, out, length=8, permutations=3, json=True)
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["steps"] == [0, 10, 20] and printed["monitor"] == ["cannot tell"] * 2
    assert (out / "emergence.html").stat().st_size > 10_000
    emergence(str(series), str(data), ["first"], 4, out, length=8, permutations=3)
    text = capsys.readouterr().out
    assert "random (SD)" in text and "settles at step" in text
