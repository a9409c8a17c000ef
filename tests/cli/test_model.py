"""`interp model`: what is printed, what is JSON, and what goes wrong in one line."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from interp.cli.app import app, main
from interp.models.card import model_facts, read_card
from interp.models.identity import model_identity
from interp.results.errors import BadInput
from tests.models import tiny_model_directory

Directory = Callable[[str], Path]


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["model", *arguments], catch_exceptions=False)


def test_the_card_of_polyglot_prints_every_variant_with_intervals_and_prompts():
    result = invoke("info", "polyglot")
    assert result.exit_code == 0
    card = read_card("polyglot")
    for variant in ("base", "ability", "language", "ceiling"):
        assert f"polyglot/{variant}" in result.stdout
    for task in card.accuracy.values():
        for row in task.values():
            for accuracy in row.values():
                value, low, high = accuracy.interval
                assert f"{value:.3f} [{low:.2f}, {high:.2f}]" in result.stdout
                assert 0 <= low <= value <= high <= 1
    assert card.prompts[0][0] in result.stdout


def test_the_card_is_printed_whole_as_json():
    assert json.loads(invoke("info", "polyglot", "--json").stdout)["name"] == "polyglot"


def test_facts_of_a_directory_are_those_of_its_files(model_directory: Directory):
    directory = model_directory("llama")
    facts = json.loads(invoke("info", str(directory), "--json").stdout)
    assert facts["architecture"] == "LlamaForCausalLM"
    assert facts["sizes"]["n_kv_heads"] == 2
    assert facts["root"] == model_identity(directory).root
    assert facts["tokenizer"]["bos_id"] == 1
    shown = invoke("info", str(directory)).stdout
    assert f"{facts['n_parameters']:,} as F32" in shown
    assert "BOS 1, EOS 2, padding 0; encoding adds no BOS" in shown


def test_facts_of_every_style_name_its_layers_and_width(model_directory: Directory):
    for style in ("gpt2", "neox", "mixtral", "t5", "switch", "bert"):
        sizes = model_facts(model_directory(style), name=style).sizes
        assert sizes["d_model"] == 32
        assert sizes["n_heads"] == 4
        assert sizes["d_vocab"] == 64
        assert sizes["n_layers"] in (2, 3)


def test_a_model_without_a_tokenizer_says_so(tmp_path: Path):
    directory = tiny_model_directory("gpt2", tmp_path / "m", tokenizer=False)
    assert "none: give ready token ids" in invoke("info", str(directory)).stdout


def test_an_unknown_card_is_refused():
    with pytest.raises(BadInput, match="polyglot"):
        read_card("nosuch")


def test_sites_are_listed_with_shapes_and_other_names(model_directory: Directory):
    result = invoke("sites", str(model_directory("gpt2")))
    lines = result.stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("blocks.1.attn.hook_q ")]
    assert line.split() == ["blocks.1.attn.hook_q", "4x8", "blocks.1.attn.q.hook_out"]


def test_patterns_narrow_the_list_as_they_would_a_capture(model_directory: Directory):
    content = json.loads(
        invoke("sites", str(model_directory("mixtral")), "**.gate.hook_out", "--json").stdout
    )
    assert [site["name"] for site in content["sites"]] == [
        f"blocks.{layer}.mlp.gate.hook_out" for layer in range(3)
    ]
    assert all(site["flattened"] and site["width"] == 4 for site in content["sites"])


def test_check_prints_both_sides_and_sdpa(model_directory: Directory):
    directory = str(model_directory("neox"))
    shown = invoke("check", directory).stdout
    assert "padded right" in shown
    assert "padded left" in shown
    content = json.loads(invoke("check", directory, "--json").stdout)
    assert content["max_abs_difference"] < 1e-4
    assert content["against"] == "eager"


def test_every_command_has_an_example_in_its_help():
    for name in ("info", "sites", "check"):
        assert f"Example: interp model {name}" in " ".join(invoke(name, "--help").stdout.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check", "./nosuch"), "no directory ./nosuch"),
        (("sites", "polyglot", "blocks.*.hook_residpost"), "the nearest are blocks."),
        (("sites", "polyglot", "blocks.*.attn.hook_pattern"), "query and a key axis"),
        (("info", "polyglot/nosuch"), "of polyglot there are polyglot/ability"),
        (("check", "polyglot", "--dtype", "int4"), "dtype int4"),
        (("info", "\x1b]0;title\x07\x1b[2J"), "is no directory"),
    ],
)
def test_what_a_user_can_put_right_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
):
    monkeypatch.setattr(sys, "argv", ["interp", "model", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    shown = capsys.readouterr()
    assert exit_.value.code == 2
    assert shown.out == ""
    (line,) = shown.err.strip().splitlines()
    assert said in line
    assert "\x1b" not in line
