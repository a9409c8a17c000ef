"""Edits of some units and edits by chance: what stays, what is drawn, what is refused."""

from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

from interp.interventions import (
    Intervention,
    gaussian,
    intervened,
    mean,
    on_units,
    resample,
    shuffle,
    splice,
    zero,
)
from interp.models.load import load
from interp.results.errors import BadInput

SITE = "blocks.1.mlp.hook_post"
UNITS = torch.tensor([40, 3, 17])
REST = torch.tensor([i for i in range(48) if i not in (3, 17, 40)])
TOKENS = torch.arange(4, 20).reshape(2, 8)


@pytest.fixture(scope="module")
def bridge(model_directory):
    directory: Path = model_directory("gpt2")
    return load(directory, device="cpu")


def held(bridge, *edits: Intervention, site: str = SITE) -> Tensor:
    """What `site` holds in a forward pass with `edits`."""
    seen: list[Tensor] = []

    def note(value: Tensor) -> Tensor:
        seen.append(value.clone())
        return value

    with torch.no_grad(), intervened(bridge, [*edits, splice(site, note)]):
        bridge(TOKENS)
    return seen[0]


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def ordered(values: Tensor) -> Tensor:
    return values.flatten().sort().values


def test_only_the_named_units_change(bridge) -> None:
    plain = held(bridge)
    edits = [
        zero(SITE),
        mean(SITE, torch.tensor([1.0, 2.0, 3.0])),
        gaussian(SITE, torch.ones(3), generator=generator()),
        shuffle(SITE, factor=4.0, generator=generator()),
        resample(SITE, torch.randn(5, 3, generator=generator()), generator=generator()),
    ]
    for edit in edits:
        new = held(bridge, on_units(edit, UNITS))
        assert torch.equal(new[..., REST], plain[..., REST])
        assert not torch.equal(new[..., UNITS], plain[..., UNITS])


def test_values_go_to_the_units_in_the_order_given(bridge) -> None:
    new = held(bridge, on_units(mean(SITE, torch.tensor([1.0, 2.0, 3.0])), UNITS))
    assert new[1, 5, [40, 3, 17]].tolist() == [1.0, 2.0, 3.0]


def test_zeroed_neurons_take_away_exactly_what_they_write(bridge) -> None:
    out = "blocks.1.hook_mlp_out"
    weight = bridge.original_model.transformer.h[1].mlp.c_proj.original_component.weight
    written = held(bridge)[..., UNITS] @ weight[UNITS]
    change = held(bridge, site=out) - held(bridge, on_units(zero(SITE), UNITS), site=out)
    torch.testing.assert_close(change, written, atol=1e-5, rtol=1e-5)


def test_a_shuffle_keeps_the_multiset_before_its_factor(bridge) -> None:
    plain = held(bridge)[..., UNITS]
    new = held(bridge, on_units(shuffle(SITE, factor=4.0, generator=generator()), UNITS))
    assert torch.equal(ordered(new[..., UNITS] / 4), ordered(plain))
    with_mask = torch.zeros(2, 8, dtype=torch.bool)
    with_mask[0, 2:6] = True
    edit = shuffle(SITE, generator=generator(), where=with_mask)
    some = held(bridge, on_units(edit, UNITS))[..., UNITS]
    assert torch.equal(some[~with_mask], plain[~with_mask])
    assert torch.equal(ordered(some[with_mask]), ordered(plain[with_mask]))
    assert not torch.equal(some, plain)


def test_a_shuffle_of_equal_values_is_no_change(bridge) -> None:
    constant = mean(SITE, torch.full((48,), 0.5))
    assert torch.equal(
        held(bridge, constant, shuffle(SITE, generator=generator())), held(bridge, constant)
    )


def test_the_same_seed_draws_the_same_and_another_draws_other_values(bridge) -> None:
    def new(seed: int) -> list[Tensor]:
        rows = torch.randn(50, 48, generator=generator())
        return [
            held(bridge, edit)
            for edit in (
                gaussian(SITE, torch.ones(48), generator=generator(seed)),
                shuffle(SITE, generator=generator(seed)),
                resample(SITE, rows, generator=generator(seed)),
            )
        ]

    assert all(torch.equal(a, b) for a, b in zip(new(1), new(1), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(new(1), new(2), strict=True))


def test_gaussian_noise_is_one_draw_an_example_with_the_asked_spread(bridge) -> None:
    sigma = torch.full((48,), 0.5)
    added = held(bridge, gaussian(SITE, sigma, generator=generator())) - held(bridge)
    torch.testing.assert_close(added, added[:, :1].expand_as(added), atol=1e-5, rtol=0)
    assert not torch.allclose(added[0], added[1])
    assert added[:, 0].std().item() == pytest.approx(0.5, abs=0.15)


def test_resampled_layers_draw_the_same_rows(bridge) -> None:
    other = "blocks.2.mlp.hook_post"
    number = torch.arange(20.0)[:, None].expand(20, 48)
    edits = [resample(s, number, generator=generator(4)) for s in (SITE, other)]
    seen: list[Tensor] = []

    def note(value: Tensor) -> Tensor:
        seen.append(value.clone())
        return value

    held(bridge, *edits, *(splice(s, note) for s in (SITE, other)))
    assert torch.equal(seen[0], seen[1])
    assert len(seen[0].unique()) > 5


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda: on_units(zero(SITE), torch.tensor([1, 1])), "named twice"),
        (lambda: on_units(zero(SITE), torch.tensor([1, 48])), "has 48 units: 48 is not"),
        (lambda: on_units(mean(SITE, torch.zeros(48)), UNITS), "one token's entry"),
        (lambda: gaussian(SITE, torch.ones(7), generator=generator()), "one token's entry"),
        (lambda: resample(SITE, torch.ones(2, 7), generator=generator()), "one token's entry"),
        (lambda: resample(SITE, torch.ones(0, 48), generator=generator()), "no row"),
        (
            lambda: on_units(splice(SITE, torch.clone, reads="blocks.1.hook_mlp_in"), UNITS),
            "cannot be edited by units",
        ),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(bridge, edit, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        held(bridge, edit())
