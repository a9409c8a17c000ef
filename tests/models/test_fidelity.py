"""The fidelity check: near zero for every style, and far from it once the bridge is changed."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from interp.models.fidelity import check_fidelity, plain_twin
from interp.models.load import load
from interp.results.errors import BadInput
from tests.models import STYLES, tiny_model

Directory = Callable[[str], Path]


def tokens(batch: int = 3, pos: int = 10) -> torch.Tensor:
    return torch.randint(4, 64, (batch, pos), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("style", STYLES)
def test_every_style_agrees_with_transformers_padded_on_either_side(
    model_directory: Directory, style: str
):
    fidelity = check_fidelity(load(str(model_directory(style))), tokens())
    assert fidelity.max_abs_difference < 1e-4
    assert fidelity.largest_logit > 0.1
    assert set(fidelity.logits) == {"left", "right"}
    assert (fidelity.n_sequences, fidelity.n_tokens) == (2, 15)
    if style == "switch":
        assert fidelity.logits_sdpa is None
    else:
        assert fidelity.logits_sdpa is not None
        assert max(fidelity.logits_sdpa.values()) < 1e-4


def test_a_bridge_that_computes_something_else_is_found_out(model_directory: Directory):
    for name in ("blocks.1.hook_resid_post", "blocks.2.attn.hook_pattern"):
        bridge = load(str(model_directory("llama")))
        bridge.add_hook(name, lambda value, hook: value * 1.01)
        fidelity = check_fidelity(bridge, tokens())
        assert min(fidelity.logits.values()) > 1e-3


def test_a_difference_in_one_block_shows_in_the_stream_after_it(model_directory: Directory):
    bridge = load(str(model_directory("gpt2")))
    bridge.add_hook("blocks.0.hook_mlp_out", lambda value, hook: value + 0.5)
    assert min(check_fidelity(bridge, tokens()).stream.values()) > 0.4


def test_a_nan_is_not_mistaken_for_agreement(model_directory: Directory):
    bridge = load(str(model_directory("gpt2")))
    bridge.add_hook("blocks.0.hook_mlp_out", lambda value, hook: value * float("nan"))
    fidelity = check_fidelity(bridge, tokens())
    assert not fidelity.logits["right"] < 1


def test_a_nan_on_one_side_alone_is_a_nan(model_directory: Directory):
    found = check_fidelity(load(str(model_directory("gpt2"))), tokens())
    for field in ("logits", "stream"):
        for side in ("right", "left"):
            one_nan = {**getattr(found, field), side: float("nan")}
            assert math.isnan(replace(found, **{field: one_nan}).max_abs_difference)
    assert found.max_abs_difference == max(*found.logits.values(), *found.stream.values())


@pytest.mark.parametrize("style", ["gpt2", "llama", "t5", "mixtral"])
def test_the_twin_shares_the_weights_and_costs_no_copy(model_directory: Directory, style: str):
    bridge = load(str(model_directory(style)))
    twin = plain_twin(bridge, attention="eager")
    ours = {p.data_ptr() for p in bridge.original_model.parameters()}
    theirs = {p.data_ptr() for p in twin.parameters()}
    assert theirs <= ours
    assert twin.config._attn_implementation == "eager"
    assert plain_twin(bridge, attention="eager") is not twin


def test_a_model_object_is_compared_too():
    assert check_fidelity(load(tiny_model("neox")), tokens()).max_abs_difference < 1e-4


def test_half_precision_is_compared_in_half_precision(model_directory: Directory):
    fidelity = check_fidelity(load(str(model_directory("llama")), dtype="bfloat16"), tokens())
    assert fidelity.dtype == "bfloat16"
    assert fidelity.max_abs_difference < 0.1


@pytest.mark.parametrize(("batch", "pos"), [(1, 1), (1, 6), (2, 1), (5, 64)])
def test_one_sequence_one_token_and_the_whole_context_are_compared(
    model_directory: Directory, batch: int, pos: int
):
    fidelity = check_fidelity(load(str(model_directory("gpt2"))), tokens(batch, pos))
    assert fidelity.max_abs_difference < 1e-4


def test_the_callers_padding_is_used(model_directory: Directory):
    mask = torch.ones(2, 10, dtype=torch.bool)
    mask[0, 4:] = False
    fidelity = check_fidelity(load(str(model_directory("gpt2"))), tokens(2), mask)
    assert fidelity.n_tokens == 14


def test_no_sequence_is_an_error(model_directory: Directory):
    with pytest.raises(BadInput, match="no sequence"):
        check_fidelity(load(str(model_directory("gpt2"))), torch.zeros((0, 8), dtype=torch.int64))
