"""Hard concrete gates against sampling and calculus, learnt masks where the truth is planted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interp.abilities.locating.hard_concrete import (
    START,
    lagrangian,
    open_probability,
    sampled_gates,
    sparsity,
    warmed_target,
)
from interp.abilities.locating.hard_mask import hard_mask_loss, masked_loss
from interp.abilities.locating.learnt_gates import (
    GateRecipe,
    held_out_part,
    learn_gates,
    learning_part,
)
from interp.abilities.locating.sites import GateKind, gated, sites_of
from interp.models.examples import TrainingExamples
from interp.models.trainable import TrainableModel, read_trainable
from interp.results.errors import BadInput, Unsupported
from tests.abilities.learning import small_llama, some_examples
from tests.models import tiny_model, tiny_model_directory

GATED = ("gpt2", "llama", "neox", "qwen2", "olmo", "mistral", "qwen3", "olmo2")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("logit", [-3.0, 0.0, 1.5, START])
def test_the_open_probability_is_the_share_of_draws_above_zero(logit: float) -> None:
    draws = sampled_gates(torch.full((200_000,), logit), generator())
    expected = float(open_probability(torch.tensor(logit)))
    deviation = np.sqrt(expected * (1 - expected) / len(draws))
    assert abs(float((draws > 0).double().mean()) - expected) < 4 * deviation
    assert float(draws.min()) >= 0
    assert float(draws.max()) <= 1


def test_a_gate_starts_all_but_surely_open() -> None:
    assert float(open_probability(torch.tensor(START))) == pytest.approx(0.99864, abs=1e-5)


def test_a_gates_gradient_is_that_of_its_formula_and_zero_where_it_is_clipped() -> None:
    logits = torch.linspace(-6, 6, 2000, dtype=torch.float64).requires_grad_(True)
    gates = sampled_gates(logits, generator())
    gates.sum().backward()
    assert logits.grad is not None
    step = 1e-6
    up, down = (sampled_gates(logits.detach() + s, generator()) for s in (step, -step))
    torch.testing.assert_close(logits.grad, (up - down) / (2 * step), atol=1e-4, rtol=1e-4)
    assert bool((logits.grad[(gates == 0) | (gates == 1)] == 0).all())


def test_the_lagrangian_vanishes_at_its_target_and_its_multipliers_see_the_excess() -> None:
    logits = torch.randn(50, generator=generator())
    multipliers = torch.tensor([0.3, 2.0], requires_grad=True)
    here = float(sparsity(logits))
    assert lagrangian(logits, multipliers, target=here).item() == pytest.approx(0, abs=1e-6)
    lagrangian(logits, multipliers, target=here - 0.25).backward()
    assert multipliers.grad is not None
    assert multipliers.grad.tolist() == pytest.approx([0.25, 0.0625], abs=1e-6)


def test_the_target_rises_linearly_and_then_stays() -> None:
    asked = [warmed_target(step, target=0.8, warmup=4) for step in range(7)]
    assert asked == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 0.8, 0.8])


@pytest.mark.parametrize("style", GATED)
@pytest.mark.parametrize("kind", ["neuron", "head", "layer"])
def test_open_gates_change_nothing_and_closed_ones_are_zeroed_weights(
    style: str, kind: GateKind, tmp_path: Path
) -> None:
    trained = read_trainable(tiny_model_directory(style, tmp_path / style))
    sites, examples = sites_of(trained.model), some_examples(8)
    gates = torch.ones(len(sites.layers), sites.per_layer(kind))

    def logits() -> torch.Tensor:
        with torch.no_grad():
            return trained.model(input_ids=examples.tokens, use_cache=False).logits

    before = logits()
    with gated(sites, kind, gates):
        torch.testing.assert_close(logits(), before, atol=1e-5, rtol=1e-5)
    gates[1, 0] = 0
    with gated(sites, kind, gates):
        closed = logits()
    assert torch.equal(logits(), before)
    assert not torch.allclose(closed, before, atol=1e-4)
    if kind != "layer":
        modules = {"neuron": sites.mlp_out, "head": sites.attention_out}[kind]
        weight: Any = modules[1].weight
        inputs_first = weight if style == "gpt2" else weight.T
        width = inputs_first.shape[0] // sites.per_layer(kind)
        with torch.no_grad():
            inputs_first[:width] = 0
        torch.testing.assert_close(logits(), closed, atol=1e-6, rtol=1e-5)


def test_a_closed_layer_passes_its_input_on(tmp_path: Path) -> None:
    trained = read_trainable(small_llama(tmp_path / "model"))
    kept = np.array([[True], [False]])
    shorter = masked_loss(trained, some_examples(16), kind="layer", kept=kept)
    del trained.model.model.layers[1]
    alone = masked_loss(trained, some_examples(16), kind="layer", kept=kept[:1])
    assert shorter == pytest.approx(alone, abs=1e-5)


def test_a_mixture_of_experts_has_heads_to_gate_but_no_neurons() -> None:
    model = tiny_model("mixtral")
    sites = sites_of(model)
    with gated(sites, "head", torch.ones(3, 4)), torch.no_grad():
        model(input_ids=some_examples(2).tokens)
    with (
        pytest.raises(Unsupported, match="no neurons that every token passes"),
        gated(sites, "neuron", torch.ones(3, 4)),
    ):
        pass


@pytest.fixture(scope="module")
def one_neuron_matters(tmp_path_factory: pytest.TempPathFactory) -> TrainableModel:
    """A Llama that says token 9 through neuron 5 of layer 1 alone: attention writes nothing."""
    trained = read_trainable(small_llama(tmp_path_factory.mktemp("planted") / "model"))
    parameters = trained.parameters
    with torch.no_grad():
        for name, parameter in parameters.items():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.mul_(1e-3)
        feed = "model.layers.1.mlp"
        # Neuron 5 is on for every token (gate and up see the same direction), and writes what
        # the unembedding reads as token 9.
        parameters["model.embed_tokens.weight"][:, 0] = 3.0
        parameters[f"{feed}.gate_proj.weight"][5] = 0.0
        parameters[f"{feed}.gate_proj.weight"][5, 0] = 3.0
        parameters[f"{feed}.up_proj.weight"][5] = parameters[f"{feed}.gate_proj.weight"][5]
        parameters[f"{feed}.down_proj.weight"][:, 5] = 0.0
        parameters[f"{feed}.down_proj.weight"][1, 5] = 3.0
        parameters["lm_head.weight"].mul_(0.1)
        parameters["lm_head.weight"][9, 1] = 5.0
    return trained


def saying_nine(n: int = 64) -> TrainingExamples:
    examples = some_examples(n)
    tokens = examples.tokens.clone()
    tokens[:, -1] = 9
    return TrainingExamples(tokens=tokens, target=examples.target)


@pytest.mark.slow
def test_the_one_neuron_that_matters_stays_open_at_the_sparsity_asked_for(
    one_neuron_matters: TrainableModel,
) -> None:
    before = {n: p.detach().clone() for n, p in one_neuron_matters.parameters.items()}
    learnt = learn_gates(
        one_neuron_matters,
        saying_nine(),
        kind="neuron",
        target_sparsity=0.75,
        recipe=GateRecipe(steps=200, batch_size=16),
    )
    assert learnt.sparsity == pytest.approx(0.75, abs=0.05)
    gates = learnt.open_probability
    assert np.unravel_index(gates.argmax(), gates.shape) == (1, 5)
    assert gates[1, 5] > np.partition(gates.ravel(), -2)[-2] + 0.05
    for name, parameter in one_neuron_matters.parameters.items():
        assert torch.equal(parameter, before[name])


def test_a_hard_mask_with_the_neuron_that_matters_beats_random_ones(
    one_neuron_matters: TrainableModel,
) -> None:
    chosen = np.zeros((2, 24), dtype=bool)
    chosen[1, 5] = chosen[0, 3] = True
    report = hard_mask_loss(one_neuron_matters, saying_nine(), kind="neuron", chosen=chosen)
    assert report.kept == pytest.approx(report.whole, abs=0.05)
    assert report.kept < np.median(report.random) - 1
    assert report.p_value < 0.2
    assert report.random.shape == report.random_by_layer.shape == (20,)


def test_what_gates_learn_on_and_what_their_mask_is_judged_by_are_apart() -> None:
    examples = some_examples(64)
    learn, held = learning_part(examples), held_out_part(examples)
    assert len(learn) + len(held) == 64
    rows = {tuple(row) for row in learn.tokens.tolist()}
    assert not rows & {tuple(row) for row in held.tokens.tolist()}


def test_a_target_that_leaves_nothing_to_choose_is_refused(tmp_path: Path) -> None:
    trained = read_trainable(small_llama(tmp_path / "model"))
    with pytest.raises(BadInput, match="no unit to choose between"):
        learn_gates(trained, some_examples(), kind="head", target_sparsity=0.0, recipe=GateRecipe())
