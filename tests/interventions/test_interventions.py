"""Interventions on tiny models: identities that hold whatever the weights, and bad input."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.corpus import Corpus, SpecialTokens
from interp.interventions import Intervention, intervened, mean, site_means, splice, zero
from interp.models.load import load
from interp.models.sites import UnknownSite
from interp.results.errors import BadInput, Unsupported
from tests.models import BOS, DECODERS

TOKENS = torch.arange(4, 20).reshape(2, 8)
MLP_OUT = "blocks.1.hook_mlp_out"
SITES = (MLP_OUT, "blocks.1.hook_resid_post", "blocks.1.mlp.hook_post", "blocks.1.attn.hook_z")


@pytest.fixture(scope="module")
def bridge(model_directory: Callable[[str], Path]) -> Callable[[str], TransformerBridge]:
    return cache(lambda style: load(model_directory(style), device="cpu"))


def logits(bridge: TransformerBridge, *edits: Intervention) -> Tensor:
    with torch.no_grad(), intervened(bridge, edits):
        return bridge(TOKENS, return_type="logits")


def held(bridge: TransformerBridge, site: str, *edits: Intervention) -> Tensor:
    """What `site` holds in a forward pass with `edits`."""
    seen: list[Tensor] = []

    def note(value: Tensor) -> Tensor:
        seen.append(value.clone())
        return value

    logits(bridge, *edits, splice(site, note))
    return seen[0]


@pytest.mark.parametrize("style", DECODERS)
@pytest.mark.parametrize("site", SITES)
def test_splicing_a_site_by_itself_changes_no_logit(bridge, style: str, site: str) -> None:
    plain = logits(bridge(style))
    assert torch.equal(logits(bridge(style), splice(site, torch.clone)), plain)
    # The same object handed back is no edit in place either.
    assert torch.equal(logits(bridge(style), splice(site, lambda value: value)), plain)


@pytest.mark.parametrize("style", DECODERS)
@pytest.mark.parametrize("site", SITES)
def test_an_ablation_is_felt_downstream(bridge, style: str, site: str) -> None:
    assert not torch.allclose(logits(bridge(style), zero(site)), logits(bridge(style)), atol=1e-4)


@pytest.mark.parametrize("style", ["gpt2", "llama"])
def test_a_stream_without_the_mlp_is_the_stream_before_it(bridge, style: str) -> None:
    before = held(bridge(style), "blocks.1.hook_resid_mid")
    after = held(bridge(style), "blocks.1.hook_resid_post", zero(MLP_OUT))
    torch.testing.assert_close(after, before)


def test_only_the_masked_tokens_change_and_causality_holds(bridge) -> None:
    where = torch.zeros(2, 8, dtype=torch.bool)
    where[0, 3] = True
    changed = (logits(bridge("gpt2"), zero(MLP_OUT, where=where)) - logits(bridge("gpt2"))).abs()
    assert changed[1].max() == 0
    assert changed[0, :3].max() == 0
    assert changed[0, 3].max() > 1e-3


def test_a_flattened_site_takes_the_same_mask(bridge) -> None:
    site = "blocks.1.mlp.gate.hook_out"
    where = torch.zeros(2, 8, dtype=torch.bool)
    where[1, 5] = True
    old, new = (
        held(bridge("mixtral"), site),
        held(bridge("mixtral"), site, zero(site, where=where)),
    )
    assert old.shape[0] == 16
    assert torch.equal((old != new).any(-1), where.flatten())


def test_one_site_computed_from_another_is_what_the_model_computes(bridge) -> None:
    model = bridge("gpt2")
    layer = model.original_model.transformer.h[1].mlp
    edit = splice(MLP_OUT, layer_of(layer), reads="blocks.1.mlp.hook_in")
    torch.testing.assert_close(logits(model, edit), logits(model))
    doubled = splice(
        MLP_OUT, lambda value: 2 * layer_of(layer)(value), reads="blocks.1.mlp.hook_in"
    )
    torch.testing.assert_close(logits(model, doubled), logits(model, splice(MLP_OUT, twice)))


def twice(value: Tensor) -> Tensor:
    return 2 * value


def layer_of(mlp) -> Callable[[Tensor], Tensor]:
    """GPT-2's MLP by hand, without the hooks of the bridge."""
    w_in, b_in = mlp.c_fc.original_component.weight, mlp.c_fc.original_component.bias
    w_out, b_out = mlp.c_proj.original_component.weight, mlp.c_proj.original_component.bias

    def forward(value: Tensor) -> Tensor:
        hidden = torch.nn.functional.gelu(value @ w_in + b_in, approximate="tanh")
        return hidden @ w_out + b_out

    return forward


def test_interventions_at_one_site_follow_one_another(bridge) -> None:
    both = logits(bridge("gpt2"), splice(MLP_OUT, twice), splice(MLP_OUT, twice))
    torch.testing.assert_close(both, logits(bridge("gpt2"), splice(MLP_OUT, lambda v: 4 * v)))


def test_the_estimated_mean_is_the_mean_of_text_tokens(bridge) -> None:
    tokens = np.arange(4, 20).reshape(2, 8)
    tokens[:, 0] = BOS
    mask = np.ones((2, 8), bool)
    mask[1, 6:] = False
    corpus = Corpus.from_tokens(
        tokens, attention_mask=mask, special_tokens=SpecialTokens(bos_id=BOS, special_ids=(BOS,))
    )
    found = site_means(bridge("llama"), [MLP_OUT], corpus.batches(1))[MLP_OUT]
    rows = []
    for row in range(2):
        with torch.no_grad():
            _, cache_ = bridge("llama").run_with_cache(torch.from_numpy(tokens[row : row + 1]))
        rows.append(cache_[MLP_OUT][0, 1 : mask[row].sum()])
    torch.testing.assert_close(found, torch.cat(rows).mean(0))
    everywhere = held(bridge("llama"), MLP_OUT, mean(MLP_OUT, found))
    assert torch.equal(everywhere, found.expand_as(everywhere))


def test_the_callers_hooks_stay_and_ours_go(bridge) -> None:
    model = bridge("gpt2")
    point = model.hook_dict[MLP_OUT]
    calls: list[int] = []
    point.add_hook(lambda value, hook: calls.append(1))
    try:
        with pytest.raises(RuntimeError, match="in the block"), intervened(model, [zero(MLP_OUT)]):
            model(TOKENS)
            raise RuntimeError("in the block")
        model(TOKENS)
        assert len(calls) == 2
        assert len(point.fwd_hooks) == 1
    finally:
        point.remove_hooks()


def test_an_unknown_site_is_named_with_its_neighbours(bridge) -> None:
    with pytest.raises(UnknownSite, match="blocks.1.hook_mlp_out"):
        logits(bridge("gpt2"), zero("blocks.1.hook_mlpout"))


def test_a_site_that_does_not_fire_is_an_error(bridge) -> None:
    with (
        pytest.raises(Unsupported, match="did not fire"),
        intervened(bridge("gpt2"), [zero(MLP_OUT)]),
    ):
        pass


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (splice(MLP_OUT, lambda value: value[..., :-1]), "keeps the shape"),
        (mean(MLP_OUT, torch.zeros(7)), "one token's entry"),
        (zero(MLP_OUT, where=torch.ones(3, 8, dtype=torch.bool)), "no entry for each of 3x8"),
        (splice(MLP_OUT, twice, reads="blocks.2.hook_mlp_out"), "reaches it later"),
    ],
)
def test_a_replacement_that_does_not_fit_is_refused(bridge, edit, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        logits(bridge("gpt2"), edit)
