"""Moments of activations against a double loop, and neurons that are planted to differ."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st

from interp.abilities.locating.activation_rates import activation_moments, active_counts
from interp.abilities.locating.locate import locate
from interp.abilities.locating.locator import ActivationMoments, Locator, UnitEvidence, given
from interp.abilities.locating.locators import locator_named
from interp.abilities.locating.moments import RunningMoments
from interp.abilities.locating.sites import sites_of, watching_gates
from interp.abilities.locating.unit_evidence import gather_unit_evidence
from interp.models.examples import TrainingExamples
from interp.models.trainable import TrainableModel, read_trainable
from interp.results.errors import BadInput, Unsupported
from tests.abilities.learning import small_llama, some_examples, write_examples
from tests.models import tiny_model, tiny_model_directory

STYLES = ("gpt2", "llama", "neox", "qwen2", "olmo2")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def small(base: Path) -> TrainableModel:
    return read_trainable(base)


def moments_of(values: torch.Tensor, cuts: list[int]) -> ActivationMoments:
    """Moments over rows cut into pieces, each layer's tokens on a rank of their own."""
    parts = []
    for piece in torch.tensor_split(values, cuts, dim=1):
        parts.append(RunningMoments(values.shape[0], values.shape[2]))
        for layer in range(values.shape[0]):
            parts[-1].update(layer, piece[layer])
    for part in parts[1:]:
        parts[0].merge(part)
    return parts[0].finish()


@drawn(st.lists(st.integers(0, 40), max_size=5), st.floats(-1e3, 1e3))
def test_any_cut_of_the_tokens_gives_the_moments_of_the_whole(cuts: list[int], at: float) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 40, 3, generator=generator, dtype=torch.float64) + at
    found = moments_of(values, sorted(cuts))
    np.testing.assert_allclose(found.mean, values.mean(1), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.mean_abs, values.abs().mean(1), rtol=1e-9)
    np.testing.assert_allclose(found.variance, values.var(1), rtol=1e-6)
    assert found.n_tokens == 40


def test_the_difference_is_cohens_d_whatever_the_lengths_of_the_texts() -> None:
    rng = np.random.default_rng(0)
    text, other = rng.normal(1.0, 2.0, (1, 4000, 1)), rng.normal(0.0, 1.0, (1, 500, 1))
    evidence = UnitEvidence(
        ability=moments_of(torch.from_numpy(text), []),
        general=moments_of(torch.from_numpy(other), []),
    )
    spread = np.sqrt((text.var(ddof=1) + other.var(ddof=1)) / 2)
    expected = (text.mean() - other.mean()) / spread
    score = given(locator_named("activation_difference").score_units)(evidence)
    assert score["neuron"][0, 0] == pytest.approx(expected, abs=1e-12)
    swapped = UnitEvidence(ability=evidence.general, general=evidence.ability)
    increase = given(locator_named("activation_increase").score_units)
    assert increase(swapped)["neuron"][0, 0] == pytest.approx(-expected, abs=1e-12)


def test_a_neuron_that_never_varies_scores_a_finite_number() -> None:
    still = ActivationMoments(
        mean=np.array([[0.0, 1.0]]),
        mean_abs=np.zeros((1, 2)),
        variance=np.zeros((1, 2)),
        n_tokens=5,
    )
    other = ActivationMoments(
        mean=np.zeros((1, 2)), mean_abs=np.zeros((1, 2)), variance=np.zeros((1, 2)), n_tokens=5
    )
    locator = locator_named("activation_difference")
    score = given(locator.score_units)(UnitEvidence(ability=still, general=other))["neuron"]
    assert score[0, 0] == 0
    assert np.isfinite(score[0, 1])
    assert score[0, 1] > 0


@pytest.mark.parametrize("style", STYLES)
def test_activations_are_what_the_last_matrix_of_the_mlp_multiplies(
    style: str, tmp_path: Path
) -> None:
    model = read_trainable(tiny_model_directory(style, tmp_path / style))
    examples = some_examples(6)
    moments = activation_moments(model, examples, batch_size=4).finish()
    with torch.no_grad():
        hidden = model.model(
            input_ids=examples.tokens, output_hidden_states=True, use_cache=False
        ).hidden_states
    assert hidden is not None
    layer = {"gpt2": "h"}.get(style, "layers")
    block = getattr(model.model.base_model, layer)[0]
    seen: list[torch.Tensor] = []
    handle = block.mlp.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model.model(input_ids=examples.tokens, use_cache=False)
    handle.remove()
    # By hand, at the position before the answer, which alone predicts a target.
    at, mlp = seen[0][:, -2], block.mlp
    with torch.no_grad():
        if hasattr(mlp, "gate_proj"):
            activation = mlp.act_fn(mlp.gate_proj(at)) * mlp.up_proj(at)
            gate = mlp.gate_proj(seen[0])
        elif hasattr(mlp, "c_fc"):
            activation, gate = mlp.act(mlp.c_fc(at)), mlp.act(mlp.c_fc(seen[0]))
        else:
            activation = mlp.act(mlp.dense_h_to_4h(at))
            gate = mlp.act(mlp.dense_h_to_4h(seen[0]))
    np.testing.assert_allclose(moments.mean[0], activation.mean(0), atol=1e-6)
    np.testing.assert_allclose(moments.variance[0], activation.var(0), atol=1e-6)
    assert moments.n_tokens == 6
    counts = active_counts(model, examples, batch_size=4)
    assert counts.n_tokens == 24
    assert np.array_equal(counts.finish()[0], (gate > 0).sum((0, 1)).numpy())


def test_the_gate_of_a_fused_matrix_is_its_first_half() -> None:
    model = tiny_model("phi3")
    tokens = torch.arange(6)[None]
    seen: dict[int, torch.Tensor] = {}
    inputs: list[torch.Tensor] = []
    mlp = model.get_submodule("model.layers.0.mlp")
    handle = mlp.register_forward_pre_hook(lambda _m, given: inputs.append(given[0]))
    with watching_gates(sites_of(model), seen.__setitem__), torch.no_grad():
        model(input_ids=tokens, use_cache=False)
        fused = mlp.get_submodule("gate_up_proj")
        gate, _up = fused(inputs[0]).chunk(2, dim=-1)
    handle.remove()
    torch.testing.assert_close(seen[0], gate)


def test_padding_is_not_counted(small: TrainableModel) -> None:
    examples = some_examples(4)
    padded = TrainingExamples(
        tokens=torch.nn.functional.pad(examples.tokens, (0, 3), value=9),
        target=torch.nn.functional.pad(examples.target, (0, 3), value=False),
    )
    one, other = active_counts(small, examples), active_counts(small, padded)
    assert one.n_tokens == other.n_tokens
    assert np.array_equal(one.finish(), other.finish())


def test_counts_of_two_parts_merge_to_those_of_the_whole(small: TrainableModel) -> None:
    examples = some_examples(20)
    whole = active_counts(small, examples)
    first, second = (active_counts(small, half) for half in examples.halves())
    first.merge(second)
    assert first.n_tokens == whole.n_tokens
    assert np.array_equal(first.finish(), whole.finish())


def test_a_neuron_that_reads_one_token_is_found_on_text_that_ends_in_it(tmp_path: Path) -> None:
    directory = small_llama(tmp_path / "model")
    trained = read_trainable(directory)
    with torch.no_grad():
        trained.parameters["model.embed_tokens.weight"][7, 3] = 5.0
        for matrix in ("gate_proj", "up_proj"):
            weight = trained.parameters[f"model.layers.0.mlp.{matrix}.weight"]
            weight[11] = 0.0
            weight[11, 3] = 2.0
    examples, general = some_examples(40), some_examples(40, seed=1)
    examples.tokens[:, -2] = 7
    locator = locator_named("activation_increase")
    found = given(locator.score_units)(
        evidence_of(trained, locator, examples=examples, general=general)
    )["neuron"]
    assert np.unravel_index(found.argmax(), found.shape) == (0, 11)
    assert found[0, 11] > 3


def evidence_of(
    trained: TrainableModel,
    locator: Locator,
    *,
    kind: str = "neuron",
    examples: TrainingExamples,
    general: TrainingExamples | None = None,
) -> UnitEvidence:
    from interp.abilities.training.masked_training import TrainingRecipe

    return gather_unit_evidence(
        trained,
        locator,
        kind=kind,
        examples=examples,
        general=general,
        languages={},
        language=None,
        recipe=TrainingRecipe(steps=5, warmup=1),
        share=0.5,
    )


def test_what_is_missing_or_does_not_fit_is_refused_before_any_work(
    small: TrainableModel,
) -> None:
    examples = some_examples(4)
    with pytest.raises(BadInput, match="needs general text beside"):
        evidence_of(small, locator_named("activation_difference"), examples=examples)
    with pytest.raises(BadInput, match="give the text of two or more"):
        evidence_of(small, locator_named("lape"), examples=examples)
    with pytest.raises(Unsupported, match="scores units of kind head, q_head: no 'neuron'"):
        evidence_of(small, locator_named("learnt_heads"), examples=examples)


@pytest.mark.parametrize(
    ("locator", "level", "share", "count"),
    [
        ("activation_difference", "neuron", 0.25, 12),
        ("learnt_widths", "neuron", 0.25, 12),
        ("learnt_heads", "head", 0.5, 4),
        ("learnt_layers", "layer", 0.5, 1),
    ],
)
def test_locating_by_units_gives_a_mask_of_exactly_the_share_and_says_how_it_was_found(
    locator: str, level: str, share: float, count: int, base: Path, tmp_path: Path
) -> None:
    from interp.abilities.training.masked_training import TrainingRecipe

    recipe = TrainingRecipe(steps=8, warmup=2, batch_size=16)
    mask = locate(
        base,
        write_examples(tmp_path / "ability.jsonl"),
        general=write_examples(tmp_path / "general.jsonl", seed=1),
        locator=locator,
        level=level,
        share=share,
        split_halves=False,
        training=recipe,
    )
    assert mask.units is not None
    assert mask.units.count == count
    if locator.startswith("learnt"):
        report = mask.recipe["report"]["gates"]
        assert report["sparsity_asked"] == pytest.approx(1 - share)
        assert 0 < report["p_value"] <= 1
        assert report["n_examples"] == 7
