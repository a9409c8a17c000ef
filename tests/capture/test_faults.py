import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformer_lens.model_bridge import TransformerBridge

from interp.capture import ActivationStore
from tests.capture.conftest import files_of

ROOT = Path(__file__).parents[2]
Models = Callable[[str], Path]


def run(what: str, model: Path, store: Path) -> tuple[dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.capture.faults", what, str(model), str(store)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.mark.slow
def test_a_capture_killed_at_ten_random_moments_ends_in_the_bytes_of_an_uninterrupted_one(
    model_directory: Models, tmp_path: Path
) -> None:
    outcome, errors = run("kill", model_directory("gpt2"), tmp_path / "store")
    assert outcome["last"] == 0, errors
    assert outcome["killed"] == 10
    whole = files_of(tmp_path / "whole")
    for store in (tmp_path / "store", *map(Path, outcome["ended"])):
        assert files_of(store) == whole
    with ActivationStore.open(tmp_path / "store") as store:
        store.verify()
        assert store.n_rows == 900


@pytest.mark.slow
def test_a_full_disk_is_one_clear_error_and_the_run_goes_on_once_there_is_room(
    model_directory: Models, tmp_path: Path
) -> None:
    outcome, errors = run("full", model_directory("gpt2"), tmp_path / "store")
    assert outcome == {"starved": 3, "last": 0}, errors
    assert "Incomplete: cannot write" in errors
    assert "File too large" in errors
    assert "run the same command again" in errors
    assert files_of(tmp_path / "store") == files_of(tmp_path / "whole")
    with ActivationStore.open(tmp_path / "store") as store:
        store.verify()
        assert store.n_rows == 900


@pytest.mark.slow
def test_an_interrupt_finishes_the_shard_and_exits_130(
    model_directory: Models, tmp_path: Path
) -> None:
    outcome, errors = run("interrupt", model_directory("gpt2"), tmp_path / "store")
    assert outcome["interrupted"] == 130, errors
    assert "run the same command to go on" in errors
    assert 3 <= outcome["shards"] < 25
    assert outcome["partial"] == 0
    assert outcome["last"] == 0
    assert files_of(tmp_path / "store") == files_of(tmp_path / "whole")


@pytest.mark.slow
def test_the_store_of_two_ranks_is_that_of_one_byte_for_byte(
    model_directory: Models, bridge: Callable[[str], TransformerBridge], tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    words = [f"w{4 + (7 * i + i * i) % 50}" for i in range(600)]
    text.write_text("\n\n".join(" ".join(words[i : i + 30]) for i in range(0, 600, 30)))
    arguments = ["capture", str(model_directory("gpt2")), str(text), "--sites"]
    arguments += ["blocks.*.hook_resid_post", "--max-tokens", "500", "--length", "16"]
    arguments += ["--batch-size", "2", "--shard-size", "20KiB"]
    program = ["-m", "interp.cli.app", *arguments]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for command in ([*program], [*torchrun, *program]):
        out = tmp_path / ("one" if command == program else "two")
        subprocess.run(
            [sys.executable, *command, "--out", str(out)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=True,
            timeout=300,
            capture_output=True,
        )
    assert len(files_of(tmp_path / "one")) > 6
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
