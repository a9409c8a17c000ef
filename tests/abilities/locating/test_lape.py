"""Language neurons: entropies worked out by hand, the null, and neurons planted for a language."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float

from interp.abilities.locating.language_finding import LanguageFinding
from interp.abilities.locating.language_neurons import (
    language_neurons,
    permuted_languages,
    rate_bar,
    rate_entropy,
)
from interp.abilities.locating.languages import LanguageMasks, deactivation, find_languages
from interp.abilities.locating.locator import UnitEvidence, given
from interp.abilities.locating.locators import locator_named
from interp.abilities.masks.mask import NeuronMask
from interp.cli.ability.languages import language_files
from interp.models.trainable import read_trainable, write_trained
from interp.results.errors import BadInput
from tests.abilities.learning import small_llama, some_examples

K = 4


def rates_of(*neurons: list[float]) -> Float[np.ndarray, "language layer neuron"]:
    """Rates of one layer, a list over languages for each neuron."""
    return np.array(neurons).T[:, None, :]


def test_a_neuron_on_for_one_language_has_entropy_zero_and_one_on_for_all_ln_k() -> None:
    rates = rates_of([0.3, 0, 0, 0], [0.2] * K, [0.4, 0.4, 0, 0], [0.0] * K)
    expected = [0.0, np.log(K), np.log(2), 0.0]
    np.testing.assert_allclose(rate_entropy(rates)[0], expected, atol=1e-9)


def test_entropy_does_not_depend_on_how_often_a_neuron_is_on() -> None:
    rates = np.random.default_rng(0).random((3, 2, 5))
    np.testing.assert_allclose(rate_entropy(rates), rate_entropy(rates / 7), atol=1e-12)


def test_the_bar_is_taken_over_all_neurons_and_languages_together() -> None:
    rates = np.random.default_rng(0).random((3, 4, 10))
    flat = np.sort(rates.reshape(-1))
    assert rate_bar(rates) == flat[round(0.95 * 120) - 1]
    assert rate_bar(rates) == float(torch.from_numpy(rates).flatten().kthvalue(114).values)
    # Not over each language by itself: a language in which all are on more often raises it.
    rates[2] += 1
    assert rate_bar(rates) > 1


def test_a_neuron_of_two_languages_is_assigned_to_both_and_one_below_the_bar_to_none() -> None:
    rng = np.random.default_rng(0)
    rates = rng.uniform(0.05, 0.10, (K, 2, 100))
    rates[:, 0, 3] = [0.9, 0.8, 0.0, 0.0]
    rates[:, 1, 7] = [0.0, 0.0, 0.0, 0.7]
    # The lowest entropy of all, but hardly ever on.
    rates[:, 1, 9] = [1e-6, 0, 0, 0]
    found = language_neurons(rates, share=0.01)
    assert np.argwhere(found.chosen).tolist() == [[0, 3], [1, 7]]
    assert found.member[:, 0, 3].tolist() == [True, True, False, False]
    assert found.member[:, 1, 7].tolist() == [False, False, False, True]
    assert not found.member[:, 1, 9].any()
    assert found.threshold == pytest.approx(rate_entropy(rates)[0, 3])


def test_the_share_is_of_all_neurons_and_ties_go_to_the_first() -> None:
    rates = np.zeros((2, 1, 300))
    rates[0, 0, 100:110] = 1.0
    found = language_neurons(rates, share=0.02)
    assert np.flatnonzero(found.chosen).tolist() == list(range(100, 106))
    everything = language_neurons(rates, share=1.0)
    assert int(everything.chosen.sum()) == 10


def test_the_locator_ranks_as_the_paper_chooses() -> None:
    rates = np.random.default_rng(1).random((3, 2, 200)) ** 3
    score = given(locator_named("lape").score_units)
    every = score(UnitEvidence(languages=("x", "y", "z"), activation_rates=rates))["neuron"]
    found = language_neurons(rates, share=0.02)
    top = np.argsort(-every.reshape(-1), kind="stable")[:8]
    assert sorted(top.tolist()) == np.flatnonzero(found.chosen).tolist()
    own = score(UnitEvidence(languages=("x", "y", "z"), language="y", activation_rates=rates))
    assert np.array_equal(np.isfinite(own["neuron"]), rates[1] > rate_bar(rates))


def counts(planted: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of 3 languages, 8 blocks, 200 neurons; the first `planted` are on for one language."""
    rng = np.random.default_rng(seed)
    tokens = np.full((3, 8), 500)
    rate = np.broadcast_to(rng.uniform(0.0, 0.3, 200), (3, 8, 200)).copy()
    for neuron in range(planted):
        rate[:, :, neuron] = 0.0
        rate[neuron % 3, :, neuron] = 0.5
    return rng.binomial(500, rate)[:, :, None, :], tokens


def test_permuted_documents_find_no_language_neurons_where_none_are_but_the_real_ones_do() -> None:
    active, tokens = counts(4, seed=0)
    rates = active.sum(1) / tokens.sum(1)[:, None, None]
    real = language_neurons(rates, share=0.02)
    assert np.flatnonzero(real.chosen).tolist() == [0, 1, 2, 3]
    null = permuted_languages(active, tokens, real, draws=60, rng=np.random.default_rng(0))
    assert null.found.max() == 0
    assert null.p_value == pytest.approx(1 / 61)


def test_without_planted_neurons_chance_finds_as_many_as_the_real_languages_do() -> None:
    p_values = []
    for seed in range(12):
        active, tokens = counts(0, seed=seed)
        rates = active.sum(1) / tokens.sum(1)[:, None, None]
        real = language_neurons(rates, share=0.02)
        null = permuted_languages(active, tokens, real, draws=40, rng=np.random.default_rng(seed))
        p_values.append(null.p_value)
    assert np.median(p_values) > 0.2
    assert min(p_values) > 0.02


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> LanguageMasks:
    """Two languages of words 4 to 11 and 12 to 19; neuron 3 of layer 1 is on for the second."""
    place = tmp_path_factory.mktemp("languages")
    trained = read_trainable(small_llama(place / "plain"))
    with torch.no_grad():
        table = trained.parameters["model.embed_tokens.weight"]
        table[:, 2] = -1.0
        table[12:20, 2] = 3.0
        # The other neurons do not see what tells the languages apart.
        for layer in range(2):
            trained.parameters[f"model.layers.{layer}.mlp.gate_proj.weight"][:, 2] = 0.0
            trained.parameters[f"model.layers.{layer}.self_attn.o_proj.weight"].zero_()
        gate = trained.parameters["model.layers.1.mlp.gate_proj.weight"]
        gate[3] = 0.0
        gate[3, 2] = 5.0
    with write_trained(trained, place / "base"):
        pass
    texts = {}
    for name, first in (("low", 4), ("high", 12)):
        rng = np.random.default_rng(first)
        lines = [" ".join(f"w{first + w}" for w in rng.integers(8, size=6)) for _ in range(60)]
        texts[name] = place / f"{name}.txt"
        texts[name].write_text("\n".join(lines) + "\n")
    return find_languages(place / "base", texts, share=0.05, draws=20, random_draws=2)


def test_a_planted_language_neuron_is_found_on_the_model(found: LanguageMasks) -> None:
    finding = found.finding
    assert finding.languages == ("low", "high")
    assert finding.rates[:, 1, 3].tolist() == [0.0, 1.0]
    assert finding.entropy[1, 3] == 0.0
    assert finding.member[:, 1, 3].tolist() == [False, True]
    # 60 documents, of which every 25 hold out 5; six words each.
    assert finding.n_tokens.tolist() == [6 * 50, 6 * 50]
    assert finding.whole.shape == (2,)
    assert finding.random.shape == (2, 2, 2)
    assert 0 < finding.p_value <= 1


def test_each_languages_mask_holds_the_entries_of_its_neurons(found: LanguageMasks) -> None:
    for row, name in enumerate(found.finding.languages):
        mask = found.masks[name]
        assert mask.units is not None
        assert np.array_equal(mask.units.chosen, found.finding.member[row])
        gate = mask.dense("model.layers.1.mlp.gate_proj.weight")
        assert np.array_equal(gate.all(axis=1), found.finding.member[row, 1])
        assert np.array_equal(gate.any(axis=1), found.finding.member[row, 1])


def test_a_finding_and_its_masks_are_the_same_after_saving(
    found: LanguageMasks, tmp_path: Path
) -> None:
    path = found.finding.save(tmp_path / "finding")
    again = LanguageFinding.load(path)
    assert again.to_json() == found.finding.to_json()
    assert np.array_equal(again.rates, found.finding.rates)
    assert json.dumps(again.to_json(), allow_nan=False)
    mask = NeuronMask.load(found.masks["high"].save(tmp_path / "mask"))
    assert mask.count == found.masks["high"].count


def test_zeroing_a_neuron_costs_what_zeroed_weights_cost(tmp_path: Path) -> None:
    from interp.abilities.locating.languages import HeldOut

    trained = read_trainable(small_llama(tmp_path / "model"))
    member = np.zeros((1, 2, 24), dtype=bool)
    member[0, 1, 5] = member[0, 0, 2] = True
    examples = some_examples(16)
    held = [HeldOut(examples, 40)]
    rng = np.random.default_rng(0)
    cost = deactivation(trained, member, held, random_draws=0, rng=rng)
    nothing = np.zeros_like(member)
    with torch.no_grad():
        for layer, neuron in ((1, 5), (0, 2)):
            trained.parameters[f"model.layers.{layer}.mlp.down_proj.weight"][:, neuron] = 0
        logits = trained.model(input_ids=examples.tokens, use_cache=False).logits[:, -2]
    by_weights = deactivation(trained, nothing, held, random_draws=0, rng=rng)
    assert cost.ablated[0, 0] == pytest.approx(by_weights.whole[0], abs=1e-6)
    assert cost.ablated[0, 0] != cost.whole[0]
    bits = -logits.log_softmax(-1)[range(16), examples.tokens[:, -1]].sum().item() / np.log(2)
    assert by_weights.whole[0] == pytest.approx(bits / 40, rel=1e-5)


def test_one_language_or_too_few_documents_are_refused(tmp_path: Path) -> None:
    base = small_llama(tmp_path / "base")
    short = tmp_path / "short.txt"
    short.write_text("w4 w5\n" * 24)
    with pytest.raises(BadInput, match="compare languages, and there is 1"):
        find_languages(base, {"x": short})
    with pytest.raises(BadInput, match=r"short.txt has 24 documents: 25 or more"):
        find_languages(base, {"x": short, "y": short})


def test_files_by_language_are_read_from_the_command_line() -> None:
    assert language_files(["en=a.txt", "zh-Hans=b=c.txt"]) == {
        "en": Path("a.txt"),
        "zh-Hans": Path("b=c.txt"),
    }
    for wrong in ("a.txt", "../x=a.txt", "=a.txt", "en="):
        with pytest.raises(BadInput, match="expected LANGUAGE=FILE"):
            language_files([wrong])
    with pytest.raises(BadInput, match="en has a text already"):
        language_files(["en=a.txt", "en=b.txt"])
