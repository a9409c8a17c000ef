import numpy as np
import pytest
import torch

from interp.interventions import intervened
from interp.models.load import load
from interp.modules.native.blocks import native_blocks
from interp.modules.native.functions import FunctionRouting
from interp.modules.native.halves import halves, rows_of
from interp.modules.native.restriction import (
    closing,
    experts_to_close,
    random_experts,
    restrict_router,
)
from interp.modules.native.run import read_native
from interp.modules.native.table import RoutingTable
from interp.plots.native_moe import restriction_rows
from interp.results.errors import BadInput
from tests.models import tiny_model_directory
from tests.modules.native.mixtures import labelled_corpus

MIXTURES = ("mixtral", "olmoe", "qwen2_moe", "qwen3_moe", "switch")
TOKENS = torch.arange(4, 16)[None]


def functional(above: np.ndarray, lift: np.ndarray) -> FunctionRouting:
    """A finding in which `above` says what is functional."""
    shape = above.shape
    return FunctionRouting(
        label="function",
        functions=tuple(map(str, range(shape[1]))),
        codes=tuple(range(shape[1])),
        unit="documents",
        n_tokens=np.full(shape[1], 9),
        n_units=np.full(shape[1], 3),
        chosen=np.ones(shape, np.int64),
        probability=np.ones(shape),
        lift=lift,
        p_exact=np.where(above, 0.001, 0.9),
        p=np.where(above, 0.001, 0.9),
        q=np.where(above, 0.001, 0.9),
        smallest_p=0.001,
        information=np.zeros(shape[0]),
        information_null=np.zeros((5, shape[0])),
        information_p=np.ones(shape[0]),
    )


@pytest.mark.parametrize("style", MIXTURES)
@torch.no_grad()
def test_allowing_every_expert_leaves_the_model_as_it_is(model_directory, style: str):
    bridge = load(str(model_directory(style)), device="cpu")
    before = bridge(TOKENS, return_type="logits")
    everyone = [
        restrict_router(block, torch.ones(4, dtype=torch.bool)) for block in native_blocks(bridge)
    ]
    with intervened(bridge, everyone):
        after = bridge(TOKENS, return_type="logits")
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("style", MIXTURES)
@torch.no_grad()
def test_a_closed_expert_is_as_good_as_gone_from_the_routers_weights(
    tmp_path, model_directory, style: str
):
    """The same answer another way: a router row that never wins, written into the weights."""
    bridge = load(str(model_directory(style)), device="cpu")
    block = native_blocks(bridge)[0]
    allowed = torch.tensor([True, False, True, True])
    with intervened(bridge, [restrict_router(block, allowed)]):
        restricted = bridge(TOKENS, return_type="logits")
    edited = load(str(tiny_model_directory(style, tmp_path / style)), device="cpu")
    target = native_blocks(edited)[0]
    inputs = edited.run_with_cache(TOKENS, names_filter=f"{target.site}.hook_in")[1]
    x = inputs[f"{target.site}.hook_in"].flatten(0, 1)
    # A direction on which every input is negative makes a logit of minus a thousand.
    row = torch.linalg.lstsq(x, torch.full((len(x), 1), -1000.0)).solution.squeeze(1)
    target.W_router[1] = row
    assert (x @ row < -500).all()
    torch.testing.assert_close(
        edited(TOKENS, return_type="logits"), restricted, rtol=1e-3, atol=1e-4
    )


@torch.no_grad()
def test_fewer_experts_than_a_token_chooses_are_refused(model_directory):
    block = native_blocks(load(str(model_directory("olmoe")), device="cpu"))[0]
    with pytest.raises(BadInput, match="1 experts are open, and each token chooses 2"):
        restrict_router(block, torch.tensor([True, False, False, False]))


def test_the_strongest_experts_are_closed_as_far_as_the_router_can_do_without():
    above = np.array([[[True, True, True, False], [False, True, False, False]]])
    lift = np.array([[[2.0, 4.0, 3.0, 1.0], [1.0, 5.0, 1.0, 1.0]]])
    found = functional(above, lift)
    closed = experts_to_close(found, mode="forbid", top_k=2, fdr=0.05)
    assert closed[:, 0].tolist() == [[False, True, True, False], [False, True, False, False]]
    only = experts_to_close(found, mode="only", top_k=2, fdr=0.05)
    assert only[:, 0].tolist() == [[True, True, True, False], [False] * 4]


def test_random_experts_are_as_many_in_every_layer():
    own = np.array([[True, False, False, True], [False, False, False, False]])
    rng = np.random.default_rng(0)
    drawn = [random_experts(own, rng=rng) for _ in range(200)]
    assert all((d.sum(axis=1) == [2, 0]).all() for d in drawn)
    shares = np.mean([d[0] for d in drawn], axis=0)
    assert np.abs(shares - 0.5).max() < 0.15


def test_layers_without_experts_to_close_are_left_as_they_are(model_directory):
    blocks = native_blocks(load(str(model_directory("olmoe")), device="cpu"))
    own = np.zeros((3, 4), bool)
    own[1, 2] = True
    assert [edit.site for edit in closing(blocks, own, "forbid")] == ["blocks.1.mlp.hook_out"]


@pytest.mark.parametrize("style", ["olmoe", "switch"])
def test_the_effect_is_a_difference_of_losses_beside_random_experts(model_directory, style: str):
    found = read_native(
        str(model_directory(style)),
        labelled_corpus(144),
        label="function",
        restrict="forbid",
        batch_size=72,
        draws=3,
        permutations=999,
        shuffles=2,
        device="cpu",
    )
    effect = found.restriction
    assert effect is not None
    assert effect.tested.any()
    assert effect.random_change.shape == (3, 3, 3)
    assert np.isfinite(effect.change[effect.tested]).all()
    assert np.isnan(effect.change[~effect.tested]).all()
    assert (np.abs(effect.base - np.log(64)) < 1).all()
    low, high = effect.change_interval[effect.tested].reshape(-1, 2).T
    change = effect.change[effect.tested].reshape(-1)
    assert ((low <= change) & (change <= high)).all()
    assert np.array_equal(np.isnan(effect.p), ~effect.tested)
    heading, lines = restriction_rows(found)
    assert {len(line) for line in lines} == {len(heading)}


def test_documents_are_dealt_in_two_halves_with_as_many_of_every_function():
    function = np.repeat([0, 1, 2, -1], [10, 21, 40, 5])
    document = np.random.default_rng(0).permutation(len(function)).astype(np.int64)
    one = np.ones((len(function), 1, 2))
    order = np.argsort(document)
    table = RoutingTable(
        document=document[order],
        function=function[order],
        n_tokens=np.ones(len(function), np.int64),
        chosen=one.astype(np.int64),
        probability=one,
        entropy=one[..., 0],
        together=np.zeros((1, 2, 2), np.int64),
        group=np.zeros(0, np.int64),
        capacity=np.zeros((0, 1, 4), np.int64),
    )
    choosing, measured = halves(table, rng=np.random.default_rng(1))
    assert sorted([*choosing, *measured]) == sorted(document[function >= 0])
    counts = [
        np.bincount(rows_of(table, half).function, minlength=3) for half in (choosing, measured)
    ]
    assert np.abs(counts[0] - counts[1]).max() == 1
    other, _ = halves(table, rng=np.random.default_rng(2))
    assert set(other) != set(choosing)
    alone = table._replace(function=np.where(np.arange(len(function)), table.function.clip(0), 7))
    with pytest.raises(BadInput, match="function 7 of the label has documents in one half"):
        halves(alone, rng=np.random.default_rng(0))


@torch.no_grad()
def test_a_functions_loss_is_transformers_own_over_its_tokens(model_directory):
    bridge = load(str(model_directory("olmoe")), device="cpu")
    corpus = labelled_corpus()
    found = read_native(
        bridge, corpus, label="function", restrict="forbid", draws=1, permutations=19, shuffles=2
    )
    assert found.restriction is not None
    assert (found.restriction.n_choosing, found.restriction.n_measured) == (18, 18)
    assert "chosen on 18 documents and losses are of 18 others" in found.notes()[-1]
    function = np.arange(36) % 3
    drawn = np.lexsort((np.random.default_rng([0, 6]).random(36), function))
    sums, counts = np.zeros(3), np.zeros(3)
    for batch in corpus.batches(1):
        if batch.document[0, 0] in drawn[0::2]:
            continue
        n = int(batch.attention_mask.sum())
        tokens = torch.from_numpy(batch.tokens[:, :n])
        loss = bridge.original_model(tokens, labels=tokens).loss
        f = int(batch.labels["function"][0, 0])
        # Special tokens are no text, and are not predicted for the record.
        assert not batch.special[0, 1:n].any()
        sums[f] += float(loss) * (n - 1)
        counts[f] += n - 1
    np.testing.assert_allclose(found.restriction.base, sums / counts, rtol=1e-5)
    assert found.restriction.n_tokens.tolist() == counts.tolist()
