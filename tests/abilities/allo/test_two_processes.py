"""Two processes train as one does: the same weights on both, no bit moved outside the mask."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from interp.abilities.allo.pairs import encode_pairs, read_pairs
from interp.abilities.allo.train import run_stage
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.training.masked_training import train_ability
from interp.cli.app import app
from interp.models.identity import model_identity
from interp.models.trainable import read_trainable
from interp.results.provenance import Provenance
from tests.abilities.allo.preferences import write_pairs
from tests.abilities.allo.two_processes import STAGE, TRAINING, align_arguments
from tests.abilities.learning import small_llama, write_examples

ROOT = Path(__file__).parents[3]


def random_mask(directory: Path) -> NeuronMask:
    generator = torch.Generator().manual_seed(0)
    parameters = read_trainable(directory).parameters
    made = Provenance.collect("test", model_hash=None, corpus_hash=None, seed=0, settings={})
    return NeuronMask.from_dense(
        {
            n: (torch.rand(p.shape, generator=generator) < 0.2).numpy()
            for n, p in parameters.items()
        },
        level="entry",
        recipe={"locator": "test"},
        base=model_identity(directory),
        provenance=made,
    )


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    base = small_llama(tmp_path / "base", num_hidden_layers=1)
    file = write_pairs(tmp_path / "pairs.jsonl")
    examples = write_examples(tmp_path / "examples.jsonl")
    mask = random_mask(base)
    mask.save(tmp_path / "mask")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *torchrun, "-m", "tests.abilities.allo.two_processes", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    one = read_trainable(base)
    start = {name: p.detach().clone() for name, p in one.parameters.items()}
    run_stage(one, encode_pairs(read_pairs(file), one.tokenizer()), STAGE, mask=mask)
    first, second = (load_file(tmp_path / f"rank-{rank}") for rank in (0, 1))
    for name, before in start.items():
        assert torch.equal(first[name], second[name])
        free = torch.from_numpy(mask.dense(name))
        same = first[name].view(torch.int32) == before.view(torch.int32)
        assert bool(same[~free].all()), name
        torch.testing.assert_close(first[name], one.parameters[name], atol=2e-3, rtol=0)
    assert any(not torch.equal(first[name], before) for name, before in start.items())
    train_ability(base, examples, tmp_path / "trained", mask=mask, recipe=TRAINING)
    alone, shared = (read_trainable(tmp_path / n).parameters for n in ("trained", "trained-by-two"))
    for name, before in start.items():
        free = torch.from_numpy(mask.dense(name))
        assert torch.equal(shared[name][~free], before[~free])
        torch.testing.assert_close(shared[name], alone[name], atol=1e-4, rtol=0)
    said = json.loads(done.stdout)
    by_one = CliRunner().invoke(app, align_arguments(tmp_path, tmp_path / "one"))
    expected = json.loads(by_one.stdout)
    assert [stage["entries"] for stage in said["stages"]] == [
        stage["entries"] for stage in expected["stages"]
    ]
    for two, single in zip(said["stages"], expected["stages"], strict=True):
        assert two["last_loss"] == pytest.approx(single["last_loss"], abs=1e-3)
