"""Attribution patching against what it approximates, and what it must leave alone."""

import pytest
import torch
from torch import Tensor

from interp.interventions import attribution_patching, intervened, site_values, splice
from interp.models.load import load
from interp.models.sites import UnknownSite
from interp.results.errors import BadInput

GENERATOR = torch.Generator().manual_seed(0)
CLEAN = torch.randint(4, 64, (3, 7), generator=GENERATOR)
OTHER = torch.randint(4, 64, (3, 7), generator=GENERATOR)
SITES = ["blocks.0.attn.hook_z", "blocks.1.attn.hook_z", "blocks.2.hook_resid_post"]


@pytest.fixture(scope="module", params=["gpt2", "llama", "neox"])
def bridge(request, model_directory):
    return load(model_directory(request.param), device="cpu")


def metric(logits: Tensor) -> Tensor:
    """Two numbers a sequence."""
    last = logits[:, -1]
    return torch.stack([last[:, 5] - last[:, 9], last[:, 20]])


def attributed(bridge, **changes):
    given = {"tokens": CLEAN, "corrupted": OTHER, "metric": metric, **changes}
    return attribution_patching(bridge, SITES, **given)


def test_it_is_the_slope_of_patching_at_the_clean_value(bridge) -> None:
    found = attributed(bridge)
    other = site_values(bridge, SITES, lambda: bridge(OTHER)).values
    clean = site_values(bridge, SITES, lambda: bridge(CLEAN)).values
    for site in SITES:
        losses = []
        for step in (3e-3, -3e-3):
            moved = clean[site] + step * (other[site] - clean[site])
            with torch.no_grad(), intervened(bridge, [splice(site, lambda _, m=moved: m)]):
                losses.append(metric(bridge(CLEAN)))
        slope = -(losses[0] - losses[1]) / 6e-3
        torch.testing.assert_close(found.drop[site].flatten(2).sum(2), slope, atol=2e-3, rtol=2e-2)


def test_it_is_exact_where_the_rest_is_linear(bridge) -> None:
    """A metric of the stream itself is linear in the last site."""
    site = SITES[-1]

    def stream(tokens: Tensor) -> Tensor:
        kept: list[Tensor] = []

        def keep(value: Tensor) -> Tensor:
            kept.append(value)
            return value

        with intervened(bridge, [splice(site, keep)]):
            bridge(tokens)
        # The hook behind ours, so what it sees has the probe in it.
        return kept[0][:, -1, :3].sum(1)[None]

    found = attribution_patching(
        bridge, [site], tokens=CLEAN, corrupted=OTHER, metric=lambda x: x, run=stream
    )
    torch.testing.assert_close(found.drop[site].sum(2), found.clean - found.corrupted)


def test_the_metric_of_both_texts_comes_along(bridge) -> None:
    found = attributed(bridge)
    with torch.no_grad():
        torch.testing.assert_close(found.clean, metric(bridge(CLEAN)))
        torch.testing.assert_close(found.corrupted, metric(bridge(OTHER)))


def test_the_same_text_has_no_effect(bridge) -> None:
    found = attributed(bridge, corrupted=CLEAN)
    assert all(not drop.any() for drop in found.drop.values())


def test_sequences_of_a_batch_do_not_touch_each_other(bridge) -> None:
    whole = attributed(bridge)
    alone = attributed(bridge, tokens=CLEAN[1:2], corrupted=OTHER[1:2])
    for site in SITES:
        torch.testing.assert_close(whole.drop[site][:, 1:2], alone.drop[site], atol=1e-5, rtol=1e-3)


def test_no_parameter_gains_a_gradient_and_frozen_ones_do_not_matter(bridge) -> None:
    free = attributed(bridge)
    assert all(p.grad is None for p in bridge.original_model.parameters())
    for parameter in bridge.original_model.parameters():
        parameter.requires_grad_(False)
    frozen = attributed(bridge)
    for parameter in bridge.original_model.parameters():
        parameter.requires_grad_(True)
    for site in SITES:
        torch.testing.assert_close(free.drop[site], frozen.drop[site])


def test_another_shape_and_an_unknown_site_are_refused(bridge) -> None:
    with pytest.raises(BadInput, match="a corruption keeps every position"):
        attributed(bridge, corrupted=OTHER[:, :-1])
    with pytest.raises(UnknownSite):
        attribution_patching(
            bridge, ["blocks.9.hook"], tokens=CLEAN, corrupted=OTHER, metric=metric
        )
