"""Where a mask lies, against what a random mask with the same counts would show."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.mask_layout import mask_layout, neuron_counts, tensor_place
from tests.apps.sample import PLANTED_LAYER, PLANTED_NEURON, provenance, sample_mask


def mask_of(masks: dict[str, np.ndarray]) -> NeuronMask:
    base = sample_mask().base
    return NeuronMask.from_dense(
        masks, level="entry", recipe={}, base=base, provenance=provenance()
    )


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("model.layers.3.self_attn.q_proj.weight", (3, "self_attn.q_proj")),
        ("transformer.h.11.mlp.c_fc.bias", (11, "mlp.c_fc.bias")),
        ("h.0.ln_1.weight", (0, "ln_1")),
        ("gpt_neox.layers.2.mlp.dense_4h_to_h.weight", (2, "mlp.dense_4h_to_h")),
        ("model.embed_tokens.weight", (None, "model.embed_tokens")),
        ("lm_head.weight", (None, "lm_head")),
        ("encoder.block.1.layer.0.SelfAttention.q.weight", (1, "encoder.layer.0.SelfAttention.q")),
        ("decoder.block.1.layer.0.SelfAttention.q.weight", (1, "decoder.layer.0.SelfAttention.q")),
    ],
)
def test_a_tensor_has_its_layer_and_type_from_its_name(name, place):
    assert tensor_place(name) == place


def test_the_cells_and_the_tensors_outside_add_up_to_the_mask():
    mask = sample_mask()
    layout = mask_layout(mask)
    outside = [sum(counts) for counts in zip(*layout.outside.values(), strict=True)]
    assert layout.chosen.sum() + outside[0] == mask.count
    ranked = sum(support.n_entries for support in mask.tensors.values())
    assert layout.ranked.sum() + outside[1] == ranked
    assert layout.expected_share == mask.count / ranked


def test_a_tensor_that_was_not_ranked_has_no_share():
    everything = np.ones((2, 2), dtype=bool)
    layout = mask_layout(
        mask_of({"model.layers.0.a.weight": everything, "model.layers.1.b.weight": everything})
    )
    np.testing.assert_array_equal(layout.share, [[1, np.nan], [np.nan, 1]])


def test_the_neuron_whose_every_weight_is_chosen_is_found_and_no_other():
    counts = neuron_counts(sample_mask())
    found = np.flatnonzero(counts.p_holm < 0.05)
    assert [(counts.layer[i], counts.neuron[i]) for i in found] == [(PLANTED_LAYER, PLANTED_NEURON)]
    assert counts.chosen[found] == counts.size[found] == 3 * 16


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_neurons_of_a_layer_add_up_to_the_mask_and_to_its_expectation(seed, share):
    rng = np.random.default_rng(seed)
    names = {"gate_proj": (6, 4), "down_proj": (4, 6)}
    mask = mask_of(
        {
            f"model.layers.0.mlp.{name}.weight": rng.random(shape) < share
            for name, shape in names.items()
        }
    )
    counts = neuron_counts(mask)
    assert counts.chosen.sum() == mask.count
    assert counts.expected.sum() == pytest.approx(mask.count)


def test_the_null_spread_is_that_of_random_masks_with_the_same_count():
    rng = np.random.default_rng(0)
    n_drawn, shape, k = 4000, (5, 8), 13
    first = []
    for _ in range(n_drawn):
        flat = np.zeros(40, dtype=bool)
        flat[rng.permutation(40)[:k]] = True
        first.append(flat.reshape(shape)[0].sum())
    chosen = np.zeros(40, dtype=bool)
    chosen[:k] = True
    counts = neuron_counts(mask_of({"model.layers.0.mlp.up_proj.weight": chosen.reshape(shape)}))
    sd = (counts.chosen[0] - counts.expected[0]) / counts.z[0]
    assert counts.expected[0] == pytest.approx(np.mean(first), abs=0.1)
    assert sd == pytest.approx(np.std(first), rel=0.05)


def test_gpt2_stores_its_neurons_on_the_other_axis():
    chosen = np.zeros((4, 6), dtype=bool)
    chosen[:, 2] = True
    counts = neuron_counts(mask_of({"transformer.h.0.mlp.c_fc.weight": chosen}))
    assert counts.chosen.tolist() == [0, 0, 4, 0, 0, 0]
    counts = neuron_counts(mask_of({"transformer.h.0.mlp.c_proj.weight": chosen.T}))
    assert counts.chosen.tolist() == [0, 0, 4, 0, 0, 0]


@pytest.mark.parametrize("value", [True, False])
def test_a_mask_of_all_or_nothing_is_no_surprise_anywhere(value):
    whole = np.full((6, 4), value)
    counts = neuron_counts(mask_of({"model.layers.0.mlp.up_proj.weight": whole}))
    assert (counts.z == 0).all()


def test_a_mask_without_mlp_matrices_has_no_neurons():
    attention = np.ones((4, 4), dtype=bool)
    counts = neuron_counts(mask_of({"model.layers.0.self_attn.q_proj.weight": attention}))
    assert counts.z.size == counts.layer.size == counts.neuron.size == 0
