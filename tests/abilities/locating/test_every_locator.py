"""What every locator in the folder keeps to, and what each of them finds where it is planted."""

from pathlib import Path

import numpy as np
import pytest
import torch

from interp.abilities.locating.evidence import gradient_moments, input_norms
from interp.abilities.locating.locate import WARM_UP
from interp.abilities.locating.locator import Locator, TensorEvidence, given
from interp.abilities.locating.locators import locator_named, locators
from interp.abilities.locating.ranking import score_tensors
from interp.abilities.masks.selection import select_by
from interp.models.trainable import TrainableModel, read_trainable
from interp.models.training import TrainingBatch, next_token_loss
from interp.results.errors import BadInput
from tests.abilities.learning import small_llama, some_examples

SCORES_ENTRIES = {name: locator for name, locator in locators().items() if locator.score}
every_locator = pytest.mark.parametrize(
    "locator", SCORES_ENTRIES.values(), ids=list(SCORES_ENTRIES)
)
EXPECTED = {
    "activation_difference",
    "activation_increase",
    "allo_released",
    "bottom",
    "change",
    "contrast",
    "fisher",
    "grad",
    "grad_abs",
    "lape",
    "learnt_heads",
    "learnt_layers",
    "learnt_widths",
    "magnitude",
    "random",
    "saliency",
    "skill",
    "wanda",
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> TrainableModel:
    return read_trainable(small_llama(tmp_path_factory.mktemp("models") / "llama"))


def names_of(small: TrainableModel) -> list[str]:
    return [name for name in sorted(small.parameters) if name not in small.embeddings]


def scores_of(small: TrainableModel, locator: Locator, *, seed: int = 0) -> dict[str, torch.Tensor]:
    return score_tensors(
        small,
        locator,
        names=names_of(small),
        examples=some_examples(),
        general=some_examples(seed=1),
        recipe=type(WARM_UP)(steps=80, lr=1e-3, batch_size=16, warmup=20, seed=seed),
    )


def evidence(shape: tuple[int, ...] = (5, 4)) -> TensorEvidence:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(shape, generator=generator) for _ in range(8)]
    return TensorEvidence(
        base=parts[0],
        trained=parts[1],
        general=parts[2],
        mean_gradient=parts[3],
        mean_abs_gradient=parts[4].abs(),
        mean_square_gradient=parts[5].abs(),
        input_norm=parts[6].abs(),
        noise=parts[7].sigmoid(),
    )


def test_the_folder_holds_the_locators_we_document() -> None:
    assert locators().keys() == EXPECTED
    assert all(name == locator.name for name, locator in locators().items())


@every_locator
def test_scores_have_the_tensors_shape_and_are_not_negative(locator: Locator) -> None:
    for shape in ((5, 4), (7,)):
        score = given(locator.score)(evidence(shape))
        assert score.shape == shape
        assert bool((score >= 0).all())


@every_locator
def test_scoring_does_not_edit_the_evidence(locator: Locator) -> None:
    whole, untouched = evidence(), evidence()
    given(locator.score)(whole)
    for name in TensorEvidence.__dataclass_fields__:
        assert torch.equal(getattr(whole, name), getattr(untouched, name))


@every_locator
def test_an_entrys_score_does_not_depend_on_its_neighbours(locator: Locator) -> None:
    whole = evidence()
    half = TensorEvidence(
        **{name: getattr(whole, name)[2:] for name in TensorEvidence.__dataclass_fields__}
    )
    assert torch.equal(given(locator.score)(whole)[2:], given(locator.score)(half))


@every_locator
def test_a_locator_names_all_it_needs(locator: Locator) -> None:
    fields = {
        "change": ("trained",),
        "general_change": ("general",),
        "gradients": ("mean_gradient", "mean_abs_gradient", "mean_square_gradient"),
        "inputs": ("input_norm",),
        "noise": ("noise",),
    }
    whole = evidence()
    named = {name: getattr(whole, name) for need in locator.needs for name in fields[need]}
    given(locator.score)(TensorEvidence(base=whole.base, **named))
    if locator.needs:
        with pytest.raises(BadInput, match="does not name"):
            given(locator.score)(TensorEvidence(base=whole.base))


@every_locator
def test_the_same_seed_gives_the_same_mask_and_exactly_the_share(
    locator: Locator, small: TrainableModel
) -> None:
    before = {name: p.detach().clone() for name, p in small.parameters.items()}
    scores, again = scores_of(small, locator), scores_of(small, locator)
    for name, parameter in small.parameters.items():
        assert torch.equal(parameter, before[name])
    n = sum(score.numel() for score in scores.values())
    for share in (0.01, 0.05, 0.1, 0.5, 1.0):
        one, other = (
            select_by(locator, s, share=share, scope="global").supports for s in (scores, again)
        )
        count = sum(support.count for support in one.values())
        if locator.keep is None:
            assert count == int(n * share + 1e-9)
        else:  # a rule with quirks of its own, tested below
            assert 0.8 * n * share <= count <= min(2 * n * share, n)
        for name, support in one.items():
            assert np.array_equal(support.dense(), other[name].dense())


@every_locator
def test_a_random_mask_shares_what_chance_gives(locator: Locator, small: TrainableModel) -> None:
    chosen = select_by(locator, scores_of(small, locator), share=0.2, scope="global").supports
    names = sorted(chosen)
    dense = np.concatenate([chosen[name].dense().flatten() for name in names])
    rng = np.random.default_rng(0)
    n, k = dense.size, int(dense.sum())
    shared = [dense[rng.choice(n, size=k, replace=False)].sum() for _ in range(200)]
    deviation = np.sqrt(k * (k / n) * (1 - k / n) * (n - k) / (n - 1))
    assert abs(np.mean(shared) - k * k / n) < 4 * deviation / np.sqrt(200)


def test_change_and_bottom_choose_from_opposite_ends(small: TrainableModel) -> None:
    scores = scores_of(small, locator_named("change"))
    top = select_by(locator_named("change"), scores, share=0.3, scope="tensor").supports
    low = select_by(locator_named("bottom"), scores, share=0.3, scope="tensor").supports
    for name, score in scores.items():
        high, small_ones = top[name].dense(), low[name].dense()
        assert not (high & small_ones).any()
        assert score.numpy()[high].min() >= score.numpy()[small_ones].max()


def test_contrast_does_not_choose_what_general_data_move_as_far() -> None:
    base = torch.zeros(4, 4)
    trained, general = base.clone(), base.clone()
    trained[0, 0], general[0, 0] = 5.0, -5.0
    trained[1, 1], general[1, 1] = 1.0, 0.0
    general[2, 2] = 9.0
    score = given(locator_named("contrast").score)(
        TensorEvidence(base=base, trained=trained, general=general)
    )
    assert score.nonzero().tolist() == [[1, 1]]


def test_mean_gradient_is_the_gradient_of_the_mean_loss(small: TrainableModel) -> None:
    examples = some_examples(12)
    names = names_of(small)
    moments = gradient_moments(small, examples, names)
    loss = next_token_loss(small.model, TrainingBatch(examples.tokens, examples.target))
    gradients = torch.autograd.grad(loss, [small.parameters[name] for name in names])
    for name, gradient in zip(names, gradients, strict=True):
        torch.testing.assert_close(moments.mean[name], gradient, atol=1e-6, rtol=1e-4)
        assert bool((moments.mean_abs[name] >= moments.mean[name].abs() - 1e-7).all())
        assert bool((moments.mean_square[name] >= moments.mean[name].square() - 1e-7).all())


def test_fisher_squares_single_examples_not_their_batch(small: TrainableModel) -> None:
    examples = some_examples(6)
    name = "model.layers.1.mlp.up_proj.weight"
    squares = []
    for row in range(6):
        batch = TrainingBatch(examples.tokens[row : row + 1], examples.target[row : row + 1])
        loss = next_token_loss(small.model, batch)
        squares.append(torch.autograd.grad(loss, small.parameters[name])[0].square())
    moments = gradient_moments(small, examples, [name])
    torch.testing.assert_close(moments.mean_square[name], torch.stack(squares).mean(0))


def test_wandas_norm_is_that_of_the_hidden_states(small: TrainableModel) -> None:
    examples = some_examples(10)
    head = "lm_head.weight"
    norms = input_norms(small, examples, [head, "model.norm.weight"], batch_size=4)
    with torch.no_grad():
        hidden = small.model(input_ids=examples.tokens, output_hidden_states=True).hidden_states[-1]
    expected = hidden.flatten(0, 1).square().sum(0).sqrt().expand_as(norms[head])
    torch.testing.assert_close(norms[head], expected)
    assert bool((norms["model.norm.weight"] == 1).all())


def test_wanda_does_not_look_at_padding(small: TrainableModel) -> None:
    examples = some_examples(4)
    padded = type(examples)(
        tokens=torch.nn.functional.pad(examples.tokens, (0, 3), value=9),
        target=torch.nn.functional.pad(examples.target, (0, 3), value=False),
    )
    name = "model.layers.0.self_attn.q_proj.weight"
    one, other = (input_norms(small, e, [name], batch_size=4)[name] for e in (examples, padded))
    torch.testing.assert_close(one, other)


def test_a_gpt2_matrix_is_read_input_first(tmp_path: Path) -> None:
    from tests.models import tiny_model_directory

    small = read_trainable(tiny_model_directory("gpt2", tmp_path / "gpt2"))
    name = "transformer.h.0.mlp.c_fc.weight"
    norms = input_norms(small, some_examples(4), [name], batch_size=4)[name]
    assert norms.shape == small.parameters[name].shape == (32, 48)
    assert bool((norms == norms[:, :1]).all())
    assert not bool((norms == norms[:1]).all())


def test_allo_as_released_keeps_too_much_when_one_tensor_owns_the_top() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = {
        f"t{scale}": scale * torch.randn(250, 400, generator=generator).abs()
        for scale in (1, 2, 3, 4)
    }
    released = select_by(locator_named("allo_released"), scores, share=0.05, scope="global")
    exact = select_by(locator_named("change"), scores, share=0.05, scope="global")
    kept, asked = (sum(s.count for s in chosen.supports.values()) for chosen in (released, exact))
    assert asked == 20_000
    assert kept > 1.1 * asked


def test_an_unknown_locator_names_those_there_are() -> None:
    with pytest.raises(BadInput, match="no locator 'lucky'.*change.*wanda"):
        locator_named("lucky")
