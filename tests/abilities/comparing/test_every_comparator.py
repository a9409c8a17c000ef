"""What every comparator in the folder keeps to."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.abilities.comparing.comparator import Comparator, Scales, TensorSources
from interp.abilities.comparing.comparators import comparators
from interp.results.errors import BadInput

every_comparator = pytest.mark.parametrize(
    "comparator", comparators().values(), ids=list(comparators())
)
scales = st.floats(-2, 2)
MODELS = ("ability", "language", "control")


def sources(shape: tuple[int, ...] = (6, 5)) -> TensorSources:
    generator = torch.Generator().manual_seed(0)
    base, *others = (torch.randn(shape, generator=generator) for _ in range(4))
    base.view(-1)[:2] = torch.tensor([0.0, -0.0])
    return TensorSources(base=base, ability=others[0], language=others[1], control=others[2])


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.view(torch.int32)


def test_the_folder_holds_the_comparators_we_document() -> None:
    assert {name for name, one in comparators().items() if one.standard} == {
        "task_arithmetic",
        "plain_analogy",
    }
    assert {name for name, one in comparators().items() if not one.standard} == {
        "dare_linear",
        "dare_ties",
        "linear",
        "slerp",
        "ties",
    }


@every_comparator
def test_at_scales_of_zero_the_base_keeps_its_bits(comparator: Comparator) -> None:
    given_ = sources()
    assert torch.equal(bits(comparator.merge(given_, Scales(0.0, 0.0))), bits(given_.base))


@every_comparator
def test_models_that_are_the_base_leave_its_bits(comparator: Comparator) -> None:
    base = sources().base
    same = TensorSources(base=base, ability=base, language=base, control=base)
    assert torch.equal(bits(comparator.merge(same, Scales(0.7, 1.3))), bits(base))


@every_comparator
def test_merging_pieces_is_merging_the_whole_where_it_says_so(comparator: Comparator) -> None:
    if not comparator.entrywise:
        return
    whole = sources()
    merged = comparator.merge(whole, Scales(0.6, 0.85))
    for rows in (slice(0, 1), slice(1, 6)):
        piece = TensorSources(**{name: getattr(whole, name)[rows] for name in ("base", *MODELS)})
        assert torch.equal(comparator.merge(piece, Scales(0.6, 0.85)), merged[rows])


@every_comparator
def test_merging_does_not_edit_its_sources(comparator: Comparator) -> None:
    given_, untouched = sources(), sources()
    comparator.merge(given_, Scales(0.6, 0.85))
    for name in ("base", *MODELS):
        assert torch.equal(getattr(given_, name), getattr(untouched, name))


@every_comparator
def test_a_comparator_names_the_models_it_reads(comparator: Comparator) -> None:
    whole = sources()
    named = {name: getattr(whole, name) for name in comparator.needs}
    comparator.merge(TensorSources(base=whole.base, **named), Scales(1.0, 1.0))
    with pytest.raises(BadInput, match="does not name"):
        comparator.merge(TensorSources(base=whole.base), Scales(1.0, 1.0))


@given(scales, scales)
def test_task_arithmetic_is_its_formula(gamma: float, eta: float) -> None:
    s = sources()
    assert s.ability is not None and s.language is not None
    expected = s.base + gamma * (s.ability - s.base) + eta * (s.language - s.base)
    merged = comparators()["task_arithmetic"].merge(s, Scales(gamma, eta))
    torch.testing.assert_close(merged, expected, atol=1e-6, rtol=1e-6)


def test_the_analogy_at_one_is_ability_plus_language_less_control() -> None:
    s = sources()
    assert s.ability is not None and s.language is not None and s.control is not None
    merged = comparators()["plain_analogy"].merge(s, Scales(1.0, 1.0))
    torch.testing.assert_close(merged, s.ability + s.language - s.control, atol=1e-6, rtol=1e-6)
