"""The modules of the bundled siblings: found where they were planted, and not in the control.

Thresholds were fixed before the first training, from five seeds of another implementation. What
was not seen in all of them is not asserted: figures of layer 0 and of step 1000, four times
shuffled activations, agreement of clusters with the blocks, stability over checkpoints.
"""

from functools import cache

import numpy as np
import pytest
import torch

from benchmarks.modules_models import SIBLINGS, Sibling, Trained
from benchmarks.modules_runs import CHOSEN, N_EXPERTS, RULE, SITES, Scored, specialised_share
from interp.models.reference import BUNDLED
from interp.modules.functional import FunctionalExperts
from interp.modules.partition import Partition
from interp.modules.partitioning.random import random_partition
from interp.modules.perturbation import PerturbationResult
from interp.modules.perturbation.targets import by_experts
from probes.functions.recipe import SHIPPED_SEED
from probes.functions.tasks import FUNCTIONS

pytestmark = pytest.mark.slow
LAST = len(SITES) - 1


@cache
def scored(sibling: Sibling, step: int = 2500) -> Scored:
    home = BUNDLED / "functions" / sibling
    return Scored(Trained(seed=SHIPPED_SEED, sibling=sibling, directory=home), step=step)


@cache
def known(sibling: Sibling) -> tuple[Partition, ...]:
    return tuple(scored(sibling).known())


@cache
def functional(sibling: Sibling) -> FunctionalExperts:
    return scored(sibling).functional(list(known(sibling)))


@cache
def without_experts(sibling: Sibling, split: str) -> PerturbationResult:
    split_by = {"known": lambda: list(known(sibling)), "activity": scored(sibling).by_activity}
    return scored(sibling).perturbed(split_by[split](), draws=4, n_asked=64)


def own_minus_other(sibling: Sibling, split: str) -> float:
    return without_experts(sibling, split).specificity("accuracy").value


def test_trained_neurons_detect_functions_better_than_untrained_ones_and_both_than_chance():
    trained, untrained = scored("planted").scores[LAST], scored("planted", 0).scores[LAST]
    assert trained.best().mean() - untrained.best().mean() > 0.10
    assert untrained.best().mean() > scored("planted", 0).shuffled[LAST].best().mean() + 0.10


@pytest.mark.parametrize("sibling", SIBLINGS)
def test_neurons_of_both_siblings_detect_functions_and_none_does_by_shuffled_labels(
    sibling: Sibling,
):
    assert specialised_share(scored(sibling).scores[LAST]) > 0.5
    assert max(specialised_share(s) for s in scored(sibling).shuffled) < 0.02


def test_functions_have_experts_where_blocks_were_planted_and_not_in_the_control():
    assert functional("planted").functions_with_an_expert(RULE)[LAST] >= 4
    assert functional("control").functions_with_an_expert(RULE)[LAST] <= 2


@pytest.mark.parametrize("sibling", SIBLINGS)
def test_random_splits_of_the_same_neurons_have_no_functional_experts(sibling: Sibling):
    for layer in range(len(SITES)):
        assert functional(sibling).proportion(layer, RULE).null_mean < 0.002


def test_the_contrast_of_scores_picks_the_experts_of_a_functions_own_block():
    def own_share(sibling: Sibling) -> float:
        pairs = list(zip(scored(sibling).scores, known(sibling), strict=True))
        blocks, partition = scored(sibling).trained.blocks[LAST], known(sibling)[LAST]
        hits = [
            blocks[partition.members(expert)[0]] == number
            for number, function in enumerate(FUNCTIONS)
            for expert in by_experts(pairs, function, CHOSEN).experts[SITES[LAST]]
        ]
        return float(np.mean(hits))

    assert own_share("planted") >= 0.9
    assert own_share("control") <= 0.5


def test_without_its_experts_a_function_is_lost_and_the_others_are_not():
    planted = without_experts("planted", "known")
    assert own_minus_other("planted", "known") > 0.15
    assert planted.over("random neurons", "accuracy") > 3
    assert planted.p_relabelled[0] == planted.min_p_relabelled
    assert own_minus_other("control", "known") < 0.06


def test_experts_from_activity_are_needed_more_where_modules_were_planted():
    assert own_minus_other("planted", "activity") - own_minus_other("control", "activity") > 0.1


@pytest.mark.parametrize("sibling", SIBLINGS)
def test_two_experts_hold_more_of_the_activity_than_random_ones_only_if_planted(sibling: Sibling):
    h = scored(sibling).activations(SITES[LAST]).double()

    def held_by_two(partition: Partition) -> float:
        sums = h @ torch.from_numpy(partition.masks()).double().T
        whole = sums.sum(1)
        return float((sums.topk(2, dim=1).values.sum(1) / whole)[whole > 0].mean())

    split = known(sibling)[LAST]
    chance = np.mean(
        [held_by_two(random_partition(split.n_neurons, N_EXPERTS, seed=s)) for s in range(20)]
    )
    excess = held_by_two(split) - chance
    assert excess > 0.08 if sibling == "planted" else abs(excess) < 0.06
