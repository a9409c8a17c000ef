"""The skill locator: a neuron planted to know the text, held-out examples, and chance."""

from pathlib import Path

import numpy as np
import pytest
import torch

from interp.abilities.locating.activation_rates import example_activations
from interp.abilities.locating.locate import locate
from interp.abilities.locating.locator import UnitEvidence, given
from interp.abilities.locating.locators import locator_named
from interp.models.trainable import read_trainable
from interp.results.errors import BadInput
from tests.abilities.learning import small_llama, some_examples, write_examples


def score(ability: np.ndarray, general: np.ndarray) -> np.ndarray:
    evidence = UnitEvidence(ability_examples=ability, general_examples=general)
    return given(locator_named("skill").score_units)(evidence)["neuron"]


def noise(n: int, seed: int, shape: tuple[int, int] = (2, 50)) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, *shape)).astype(np.float32)


def test_a_planted_neuron_scores_one_half_whatever_its_direction() -> None:
    ability, general = noise(60, 0), noise(40, 1)
    ability[:, 1, 7] += 20
    ability[:, 0, 3] -= 20
    found = score(ability, general)
    assert found[1, 7] == found[0, 3] == 0.5
    assert np.delete(found.ravel(), [57, 3]).max() < 0.45


def test_neurons_that_know_nothing_score_zero_in_the_mean() -> None:
    found = score(noise(200, 0), noise(200, 1))
    # Accuracy on 200 held-out examples has a spread of at most .0354.
    assert abs(found.mean()) < 4 * 0.0354 / np.sqrt(found.size)


def test_a_neuron_that_changes_sides_between_the_halves_is_not_rewarded() -> None:
    ability, general = noise(40, 0), noise(40, 1)
    ability[0::2, 0, 0] += 20
    ability[1::2, 0, 0] -= 20
    assert score(ability, general)[0, 0] == 0.0


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama(tmp_path_factory.mktemp("models") / "llama")


def test_the_highest_activation_is_over_positions_that_predict_a_target(base: Path) -> None:
    small, examples = read_trainable(base), some_examples(5)
    found = example_activations(small, examples, batch_size=2)
    seen: list[torch.Tensor] = []
    hook = small.model.get_submodule("model.layers.1.mlp.down_proj").register_forward_pre_hook(
        lambda _module, inputs: seen.append(inputs[0])
    )
    for row in range(5):
        seen.clear()
        with torch.no_grad():
            small.model(input_ids=examples.tokens[row : row + 1])
        at = torch.nonzero(examples.target[row])[:, 0] - 1
        expected = seen[0][0, at].amax(0).numpy()
        np.testing.assert_allclose(found[row, 1], expected, rtol=1e-5, atol=1e-6)
    hook.remove()


def test_it_locates_neurons_from_files_and_asks_for_general_text(
    base: Path, tmp_path: Path
) -> None:
    ability = write_examples(tmp_path / "ability.jsonl", n=24, seed=0)
    general = write_examples(tmp_path / "general.jsonl", n=24, seed=1)
    mask = locate(base, ability, locator="skill", level="neuron", share=0.1, general=general)
    assert mask.units is not None and mask.count > 0
    with pytest.raises(BadInput, match="needs general text"):
        locate(base, ability, locator="skill", level="neuron", share=0.1)
