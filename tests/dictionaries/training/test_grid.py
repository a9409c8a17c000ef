from typing import Any

import pytest

from interp.capture.store import ActivationStore
from interp.dictionaries.training.plan import TrainingPlan, plan_training, training_settings
from interp.results.errors import BadInput, Unsupported
from tests.dictionaries.training.planted import READ, WRITTEN


def planned(store: ActivationStore, **changed: Any) -> TrainingPlan:
    named: dict[str, Any] = {"site": READ, "d_sae": 24, "arch": "batchtopk", **changed}
    numbers = {"n_tokens": 6000, "batch_size": 500}
    settings = {name: named.pop(name) for name in list(named) if name in _SETTINGS}
    made = training_settings(arch=named["arch"], **{**numbers, **settings})
    return plan_training(store, settings=made, **named)


_SETTINGS = ("n_tokens", "batch_size", "lr", "lr_decay_steps", "lr_schedule", "lr_end", "normalize")


def test_every_combination_is_one_dictionary_with_a_name_of_its_own(store: ActivationStore) -> None:
    plan = planned(
        store, site="blocks.0.*", d_sae=[16, 32], k=[1, 2.5], options={"topk_threshold_lr": [0.1]}
    )
    assert len(plan.recipes) == 2 * 2 * 2
    assert len({recipe.name for recipe in plan.recipes}) == 8
    last = plan.recipes[-1]
    assert last.name == f"{WRITTEN}-d32-k2.5-topk_threshold_lr0.1"
    assert (last.d_in, last.d_out, last.d_sae, last.options["k"]) == (8, 8, 32, 2.5)
    assert plan.epochs == 2


def test_a_list_of_values_for_one_value_is_a_sweep(store: ActivationStore) -> None:
    options = {"l1_coefficient": [1, 5.0], "lp_norm": 1.0}
    plan = planned(store, arch="standard", options=options)
    assert [recipe.options["l1_coefficient"] for recipe in plan.recipes] == [1, 5.0]
    nested = {"matryoshka_widths": [4, 24]}
    (recipe,) = planned(store, arch="matryoshka_batchtopk", k=2, options=nested).recipes
    assert recipe.options["matryoshka_widths"] == [4, 24]


def test_sites_are_paired_for_transcoders(store: ActivationStore) -> None:
    plan = planned(store, arch="transcoder", site=READ, site_out="*.hook_mlp_out")
    assert [recipe.sites for recipe in plan.recipes] == [(READ, WRITTEN)]
    assert (plan.recipes[0].d_in, plan.recipes[0].d_out) == (12, 8)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"arch": "batchtop"}, r"no architecture is called 'batchtop': there are .*batchtopk.*topk"),
    ({"site": "blocks.0.mlp.hook_inn"}, r"no site 'blocks.0.mlp.hook_inn': the nearest are .*_in"),
    ({"arch": "transcoder"}, r"name that with --site-out"),
    ({"site_out": WRITTEN}, r"--site-out is for transcoders"),
    ({"arch": "standard", "k": 4}, r"standard takes no k: .*l1_coefficient"),
    ({"k": 32}, r"k is 32.* at most d_sae = 24"),
    ({"d_sae": 0}, r"d_sae is 0"),
    ({"d_sae": []}, r"nothing to train"),
    ({"k": [2, 2.0]}, r"asked for twice"),
    ({"options": {"topk_threshold": 0.1}}, r"topk_threshold_lr"),
    ({"options": {"normalize_activations": "none"}}, r"--normalize"),
    ({"normalize": "whiten"}, r"normalize_activations is 'whiten': give one of none"),
    ({"lr_schedule": "linear"}, r"lr_scheduler_name is 'linear'"),
    ({"lr_decay_steps": 12}, r"12 steps with 0 of warm-up and 12 of decay leave 0"),
    ({"lr_schedule": "cosineannealing", "lr_end": 0.0, "lr_decay_steps": 2}, r"goes nowhere"),
    ({"lr": -1.0}, r"lr -1.0"),
    ({"n_tokens": 499}, r"499 tokens do not fill a batch of 500"),
]


@pytest.mark.parametrize(("changed", "message"), WRONG)
def test_what_cannot_be_trained_is_refused_before_any_work(
    store: ActivationStore, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        planned(store, **changed)


def test_layer_norm_is_refused_where_sae_lens_cannot_undo_it(store: ActivationStore) -> None:
    with pytest.raises(Unsupported, match="cannot be trained with layer_norm"):
        planned(store, normalize="layer_norm")
    assert planned(store, arch="standard", normalize="layer_norm").recipes


def test_k_given_twice_is_refused(store: ActivationStore) -> None:
    with pytest.raises(BadInput, match="k is given twice"):
        planned(store, k=[4], options={"k": 8})
