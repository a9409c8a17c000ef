"""Plans against what the jobs then do."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from interp.abilities.locating.at_rest import locate_between
from interp.abilities.moving.extract import extract
from interp.abilities.moving.transfer import transfer
from interp.abilities.planning.config_tensors import tensors_of_config
from interp.abilities.planning.jobs import plan_extract, plan_maet, shares_of
from interp.abilities.planning.model_size import public_shapes, size_from_config, size_like, size_of
from interp.abilities.planning.plan import Pass
from interp.abilities.planning.rates import SUPPOSED, measured_rates
from interp.abilities.planning.request import Request, plan_of
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.cli.app import app
from interp.models.weight_files import locate_tensors
from interp.results.errors import BadInput, Unsupported
from tests.abilities.checkpoints import N_TOKENS, near, random_tensors, write_model
from tests.models import DECODERS, tiny_model_directory

SHAPES = {
    "model.embed_tokens.weight": (N_TOKENS, 40),
    "model.layers.0.mlp.weight": (90, 40),
    "model.layers.0.norm.weight": (40,),
    "model.layers.1.mlp.weight": (90, 40),
    "lm_head.weight": (N_TOKENS, 40),
}


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=str)
def family(tmp_path_factory, request):
    """Base, ability, control and language model of three shards each."""
    directory = tmp_path_factory.mktemp("family")
    tensors = random_tensors(0, request.param, SHAPES)
    models = {"base": tensors} | {
        name: near(tensors, seed) for seed, name in enumerate(("ability", "control", "language"), 1)
    }
    return {name: write_model(directory / name, t, shards=3) for name, t in models.items()}


@pytest.fixture
def read(monkeypatch):
    """Bytes that checkpoints are asked for, counted as they are read."""
    counted = {"bytes": 0}
    fill = Checkpoint._fill

    def counting(self, span, offset, buffer):
        counted["bytes"] += len(buffer)
        fill(self, span, offset, buffer)

    monkeypatch.setattr(Checkpoint, "_fill", counting)
    return counted


def _pass(plan, name):
    return next(one for one in plan.passes if one.name == name)


@pytest.mark.parametrize("style", DECODERS)
@pytest.mark.parametrize("tied", [False, True])
def test_a_config_alone_gives_the_tensors_that_the_files_hold(style, tied, tmp_path):
    directory = tiny_model_directory(style, tmp_path / "m", tie_word_embeddings=tied)
    config = json.loads((directory / "config.json").read_text())
    held = {name: span.shape for name, span in locate_tensors(directory).items()}
    if style in ("olmo", "olmo2"):
        with pytest.raises(Unsupported, match="give the model's directory"):
            tensors_of_config(config)
    else:
        found = tensors_of_config(config)
        assert sum(map(math.prod, found.values())) == sum(map(math.prod, held.values()))
        assert found == held


@pytest.mark.parametrize("name", sorted(public_shapes()["models"]))
def test_public_shapes_have_the_number_of_parameters_that_is_published(name):
    entry = public_shapes()["models"][name]
    assert size_like(name).n == entry["n"]
    assert entry["hub"].count("/") == 1


def test_the_shapes_that_transformers_builds_are_those_planned(tmp_path):
    from transformers import AutoConfig, AutoModelForCausalLM

    for name in ("gemma-2-9b", "phi-3-mini"):
        fields = dict(public_shapes()["models"][name]["config"])
        layers = {"num_hidden_layers": 2}
        config = AutoConfig.for_model(fields.pop("model_type"), **{**fields, **layers})
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        built = {name: tuple(p.shape) for name, p in model.named_parameters()}
        planned = tensors_of_config({**public_shapes()["models"][name]["config"], **layers})
        assert planned == built


@pytest.mark.parametrize("share", [None, 0.02, 0.3])
@pytest.mark.parametrize("controlled", [False, True])
def test_an_extraction_reads_and_writes_what_was_planned(family, share, controlled, tmp_path, read):
    mask = None
    if share is not None:
        mask = locate_between(family["base"], family["ability"], share=share)
        mask.save(tmp_path / "mask")
    general = family["control"] if controlled else None
    plan = plan_of(
        Request(
            job="extract",
            base=str(family["base"]),
            ability=family["ability"],
            general=general,
            mask=None if mask is None else tmp_path / "mask",
        )
    )
    assert plan.exact
    read["bytes"] = 0
    weights = extract(family["base"], family["ability"], tmp_path / "w", general=general, mask=mask)
    assert read["bytes"] == _pass(plan, "subtract and write").reads
    patches = sum(t.patch_positions.nbytes + t.patch_bits.nbytes for t in weights.tensors.values())
    written = (tmp_path / "w" / "data.safetensors").stat().st_size
    assert written == plan.outputs["ability weights"] + patches
    assert patches == 0 or not controlled


@pytest.mark.parametrize("language", [False, True])
@pytest.mark.parametrize("share", [None, 0.2])
def test_a_transfer_reads_and_writes_what_was_planned(family, language, share, tmp_path, read):
    mask = None if share is None else locate_between(
        family["base"], family["ability"], share=share
    )  # fmt: skip
    extract(family["base"], family["ability"], tmp_path / "w", mask=mask)
    others = (family["language"],) if language else ()
    plan = plan_of(
        Request(
            job="transfer",
            base=str(family["base"]),
            ability=tmp_path / "w",
            languages=tuple(map(str, others)),
        )
    )
    assert plan.exact
    read["bytes"] = 0
    made = transfer(family["base"], tmp_path / "w", tmp_path / "m", language=others, undo="base")
    ability = (tmp_path / "w" / "data.safetensors").stat().st_size
    assert read["bytes"] == _pass(plan, "add and write").reads - ability
    held = sum(file.stat().st_size for file in (tmp_path / "m").glob("*.safetensors"))
    assert held == plan.outputs["model"]
    beside = {"config.json", "generation_config.json", "tokenizer.json"}
    beside |= {"model.safetensors.index.json"}
    companions = sum((tmp_path / "m" / name).stat().st_size for name in beside)
    assert companions == plan.outputs["config and tokenizer"]
    assert made.n == plan.n


def test_the_undo_of_a_transfer_is_no_larger_than_planned(family, tmp_path):
    mask = locate_between(family["base"], family["ability"], share=0.2)
    extract(family["base"], family["ability"], tmp_path / "w", mask=mask)
    plan = plan_of(Request(job="transfer", base=str(family["base"]), ability=tmp_path / "w"))
    made = transfer(family["base"], tmp_path / "w", tmp_path / "m")
    data = (tmp_path / "m" / "undo" / "data.safetensors").stat().st_size
    assert made.undo == "full"
    most = plan.outputs["undo, at most"]
    assert data <= most
    assert most - data < 0.2 * most


def test_selection_costs_one_more_pass_over_the_abilitys_tensors(family, tmp_path, read):
    extract(family["base"], family["ability"], tmp_path / "w")
    asked = {"job": "transfer", "base": str(family["base"]), "ability": tmp_path / "w"}
    asked["languages"] = (str(family["language"]),)
    plan = plan_of(Request(**asked, k2=0.5))
    ability = (tmp_path / "w" / "data.safetensors").stat().st_size
    read["bytes"] = 0
    transfer(
        family["base"], tmp_path / "w", tmp_path / "m",
        language=family["language"], k2=0.5, undo="base",
    )  # fmt: skip
    of_models = [_pass(plan, n).reads for n in ("compare with the languages", "add and write")]
    assert read["bytes"] == sum(of_models) - 2 * ability


def test_locating_reads_what_was_planned_and_its_mask_is_no_larger(family, tmp_path, read):
    plan = plan_of(Request(job="locate", base=str(family["base"]), ability=family["ability"]))
    mask = locate_between(family["base"], family["ability"], share=0.3)
    assert read["bytes"] == sum(one.reads for one in plan.passes if "rank" in one.name) + (
        _pass(plan, "mark the chosen").reads
    )
    mask.save(tmp_path / "mask")
    held = (tmp_path / "mask" / "data.safetensors").stat().st_size
    assert held <= plan.outputs["mask, at most"] + 2048


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_process_that_transfers_holds_no_more_than_planned(family, tmp_path):
    extract(family["base"], family["ability"], tmp_path / "w")
    base, weights, out = family["base"], tmp_path / "w", tmp_path / "m"
    plan = plan_of(Request(job="transfer", base=str(base), ability=weights))
    # What getrusage says outlives exec, and would be the test runner's own.
    code = (
        "import sys; from pathlib import Path\n"
        "from interp.abilities.moving.transfer import transfer\n"
        "transfer(*sys.argv[1:4])\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(status.split('VmHWM:')[1].split()[0])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(base), str(weights), str(out)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(run.stdout.split()[-1]) * 1024 <= plan.memory


def test_a_plan_loads_no_torch():
    code = "import sys, interp.abilities.planning.request; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_config_and_its_directory_give_one_plan_but_for_headers(tmp_path):
    directory = tiny_model_directory("llama", tmp_path / "m", dtype=torch.bfloat16)
    seen, supposed = size_of(directory), size_from_config(directory / "config.json")
    assert (seen.n, seen.n_bytes, seen.dtype) == (supposed.n, supposed.n_bytes, supposed.dtype)
    assert seen.exact
    assert not supposed.exact
    assert sum(supposed.files) - supposed.n_bytes == pytest.approx(
        sum(seen.files) - seen.n_bytes, rel=0.1
    )


def test_bytes_grow_with_the_model_and_memory_hardly():
    small, large = (plan_extract(size_like(f"llama-3-{size}")) for size in ("8b", "70b"))
    assert large.reads / small.reads == pytest.approx(large.n / small.n, rel=1e-3)
    assert large.memory < 1.5 * small.memory


def test_disk_is_every_output_a_hundredth_and_64_mib():
    plan = plan_maet(size_like("gpt2-xl"), [size_like("gpt2-xl")])
    total = sum(plan.outputs.values())
    assert plan.disk == total + total // 100 + (64 << 20)
    assert set(plan.outputs) >= {"model", "ability weights", "control"}


def test_time_is_that_of_the_slower_of_disk_and_processor():
    waits = Pass(name="reads", reads=10**12, entries=1, memory=0)
    works = Pass(name="works", reads=1, entries=10**12, memory=0)
    for one, fast, slow in (
        (waits, 1e12 / SUPPOSED.read[1], 1e12 / SUPPOSED.read[0]),
        (works, 1e12 / SUPPOSED.compute[1], 1e12 / SUPPOSED.compute[0]),
    ):
        assert one.seconds(SUPPOSED) == pytest.approx((fast, slow))


def test_shares_are_packed_as_masks_are(family):
    mask = locate_between(family["base"], family["ability"], share=0.02, scope="tensor")
    tensors = [t for t in size_of(family["base"]).tensors if t.name in mask.tensors]
    for one in shares_of(tensors, 0.02):
        support = mask.tensors[one.tensor.name]
        assert (one.count, one.encoding) == (support.count, support.encoding)
        assert one.data.shape == support.data.shape


@pytest.mark.slow
def test_a_probe_measures_and_leaves_nothing(tmp_path):
    rates = measured_rates(tmp_path)
    assert not list(tmp_path.iterdir())
    for low, high in (rates.read, rates.write, rates.hash, rates.compute):
        assert 0 < low < high
    with pytest.raises(BadInput, match="cannot be probed"):
        measured_rates(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"job": "extract"}, "name one model"),
        ({"job": "extract", "like": "gpt2-xl", "base": "x"}, "not x and gpt2-xl; the job goes"),
        ({"job": "extract", "like": "gpt5"}, "there are gemma-2-9b"),
        ({"job": "extract", "like": "gpt2-xl", "dtype": "int4"}, "not one of float16"),
        ({"job": "extract", "config": Path("nowhere.json")}, "not a file"),
    ],
)
def test_what_cannot_be_planned_is_said(asked, message):
    with pytest.raises(BadInput, match=message):
        plan_of(Request(**asked))


def test_the_command_prints_every_job_and_one_object():
    for job in ("locate", "extract", "transfer", "merge", "maet"):
        arguments = ["ability", "plan", "--like", "llama-3-70b", "--job", job]
        said = CliRunner().invoke(app, [*arguments, "--language", "other"])
        assert said.exit_code == 0, said.output
        assert "70,553,706,496 entries, 141.1 GB in BF16" in said.stdout
        result = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
        assert result["seconds"][0] < result["seconds"][1]
        assert result["disk"] > sum(result["outputs"].values())
