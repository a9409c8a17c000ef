import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from interp.capture.store import ActivationStore
from interp.dictionaries.files import open_dictionary
from interp.dictionaries.training.train import train
from interp.results.errors import BadInput, Unsupported
from tests.dictionaries.training.planted import READ, WRITTEN

SETTINGS: dict[str, Any] = {
    "site": READ,
    "d_sae": 24,
    "k": 2,
    "n_tokens": 3000,
    "batch_size": 100,
    "lr": 3e-3,
    "log_every": 1,
    "dead_feature_window": 4,
    "checkpoint_every": 11,
    "buffer_bytes": 50_000,
}
KINDS: dict[str, dict[str, Any]] = {
    "topk": {"arch": "topk"},
    "batchtopk": {"normalize": "expected_average_only_in"},
    "matryoshka_batchtopk": {"arch": "matryoshka_batchtopk"},
    "transcoder": {"arch": "transcoder", "site_out": WRITTEN},
    "standard": {"arch": "standard", "k": None, "options": {"l1_coefficient": 3.0}},
}


def _both(store: ActivationStore, out: Path, settings: dict[str, Any]) -> list[int]:
    """Train in two forks that share every batch; their exit codes."""
    meeting = out.with_name(f"{out.name}.meeting")
    children = []
    for rank in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            code = 1
            try:
                dist.init_process_group(
                    "gloo", init_method=f"file://{meeting}", rank=rank, world_size=2
                )
                train(store, out, **settings)
                code = 0
            except BadInput:
                code = 2
            except Unsupported:
                code = 3
            finally:
                os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def _log(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", KINDS)
def test_two_ranks_give_the_curves_of_one_process(
    store: ActivationStore, tmp_path: Path, kind: str
) -> None:
    settings = {**SETTINGS, **KINDS[kind]}
    assert _both(store, tmp_path / "two", settings) == [0, 0]
    (alone,) = train(store, tmp_path / "one", **settings)
    ours, theirs = _log(tmp_path / "two"), _log(alone)
    assert len(ours) == len(theirs) == 30
    for two, one in zip(ours, theirs, strict=True):
        assert two.keys() == one.keys()
        for name, value in one.items():
            assert two[name] == pytest.approx(value, rel=1e-3, abs=1e-5), (one["step"], name)
    assert any(line["n_dead"] for line in theirs)
    weights, expected = open_dictionary(tmp_path / "two"), open_dictionary(alone)
    for name, tensor in expected.state_dict().items():
        assert weights.state_dict()[name].sub(tensor).abs().max() < 1e-3, name


def test_a_batch_that_two_ranks_cannot_share_is_refused_by_both(
    store: ActivationStore, tmp_path: Path
) -> None:
    assert _both(store, tmp_path / "two", {**SETTINGS, "batch_size": 101}) == [2, 2]


@pytest.mark.parametrize(
    "changed",
    [
        {"options": {"dtype": "bfloat16"}},
        {"arch": "matryoshka_batchtopk", "options": {"use_matryoshka_aux_loss": True}},
    ],
)
def test_a_selection_that_two_ranks_cannot_share_is_refused_before_any_file(
    store: ActivationStore, tmp_path: Path, changed: dict[str, Any]
) -> None:
    assert _both(store, tmp_path / "two", {**SETTINGS, **changed}) == [3, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["two.meeting"]
