"""The choice of scales: one rule, one grid."""

import pytest

from interp.abilities.comparing.comparator import Scales
from interp.abilities.comparing.tuning import ETAS, GAMMAS, Measured, choose, grid
from interp.results.errors import BadInput

A, B, C = Scales(0.5, 1.0), Scales(1.0, 1.0), Scales(1.5, 1.0)


def chosen(measured: dict[Scales, tuple[float, float]], floor: float = 0.9):
    return choose(measured, lambda scales: Measured(*measured[scales]), floor=floor)


def test_the_best_ability_above_the_floor_is_chosen() -> None:
    choice = chosen({A: (0.3, 0.99), B: (0.5, 0.91), C: (0.8, 0.89)})
    assert choice.scales == B
    assert choice.meets_floor
    assert choice.n_settings == 3


def test_among_equals_the_higher_general_accuracy_then_the_first() -> None:
    assert chosen({A: (0.5, 0.91), B: (0.5, 0.95), C: (0.5, 0.95)}).scales == B


def test_the_floor_itself_is_kept() -> None:
    assert chosen({A: (0.1, 0.95), B: (0.5, 0.9)}).scales == B


def test_where_nothing_reaches_the_floor_the_least_harm_is_chosen_and_said() -> None:
    choice = chosen({A: (0.9, 0.5), B: (0.1, 0.8), C: (0.8, 0.7)})
    assert choice.scales == B
    assert not choice.meets_floor


def test_every_setting_is_measured_once() -> None:
    seen = []

    def measure(scales: Scales) -> Measured:
        seen.append(scales)
        return Measured(0.5, 0.5)

    choose(grid(), measure, floor=0.0)
    assert seen == list(grid())
    assert len(seen) == len(set(seen)) == len(GAMMAS) * len(ETAS)


def test_an_empty_grid_is_refused() -> None:
    with pytest.raises(BadInput, match="without scales"):
        grid(gammas=())
