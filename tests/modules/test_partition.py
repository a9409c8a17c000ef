import json

import numpy as np
import pytest

from interp.modules.partition import Partition, SeedAgreement, canonical, expert_size
from interp.modules.partition_quality import PartitionQuality
from interp.results.errors import BadInput, CorruptFile, Mismatch
from interp.results.provenance import Provenance

PROVENANCE = Provenance.collect("test", model_hash=None, corpus_hash=None, seed=3, settings={})


def partition(labels, *, dead=None, kind="random"):
    return Partition.of(
        np.array(labels),
        site="blocks.0.mlp.hook_post",
        kind=kind,
        model_hash=None,
        provenance=PROVENANCE,
        dead=dead,
    )


def random_partition(n, n_experts, seed):
    rng = np.random.default_rng(seed)
    return partition(rng.permutation(np.arange(n) % n_experts))


def test_experts_are_numbered_by_their_smallest_member():
    assert canonical(np.array([7, 7, 2, 9, 2])).tolist() == [0, 0, 1, 2, 1]


def test_a_partition_and_its_relabelling_have_ari_and_nmi_one():
    one, other = random_partition(96, 8, 0), random_partition(96, 8, 1)
    relabelled = partition((one.labels + 3) % 8)
    assert one.ari(relabelled) == pytest.approx(1.0, abs=1e-12)
    assert one.nmi(relabelled) == pytest.approx(1.0, abs=1e-12)
    assert one.ari(other) == pytest.approx(other.ari(one), abs=1e-12)


def test_random_balanced_partitions_have_ari_near_zero():
    found = [random_partition(256, 16, 2 * i).ari(random_partition(256, 16, 2 * i + 1))
             for i in range(10)]  # fmt: skip
    assert np.abs(found).max() < 0.05


def test_masks_members_and_permutation_say_the_same():
    found = random_partition(24, 4, 5)
    for expert, mask in enumerate(found.masks()):
        np.testing.assert_array_equal(np.flatnonzero(mask), found.members(expert))
    grouped = np.concatenate([found.members(expert) for expert in range(4)])
    np.testing.assert_array_equal(found.permutation(), grouped)
    assert found.size == 6
    assert found.is_balanced


def test_live_only_leaves_out_the_dead_of_either():
    dead = np.array([False] * 4 + [True] * 4)
    one = partition([0, 0, 1, 1, 0, 0, 1, 1], dead=dead)
    other = partition([0, 0, 1, 1, 1, 0, 1, 0])
    assert one.ari(other) < 1
    assert one.ari(other, live_only=True) == pytest.approx(1.0)
    with pytest.raises(BadInput, match="alive in both"):
        one.ari(partition([0, 0, 1, 1, 0, 0, 1, 1], dead=~dead), live_only=True)


def test_unequal_communities_have_sizes_but_no_size():
    found = partition([0, 0, 0, 1])
    assert found.sizes.tolist() == [3, 1]
    with pytest.raises(BadInput, match="1 to 3 neurons"):
        _ = found.size


def test_a_number_of_experts_that_does_not_divide_raises_with_both_numbers():
    with pytest.raises(BadInput, match=r"192 neurons .* 7 experts .* 6, 8"):
        expert_size(192, 7)
    with pytest.raises(BadInput, match="0 experts"):
        expert_size(192, 0)
    assert expert_size(192, 12) == 16


def test_an_expert_without_members_is_refused():
    with pytest.raises(BadInput, match="every expert"):
        Partition(**{**vars(partition([0, 1, 1])), "n_experts": 3})


def test_partitions_of_different_layers_are_not_compared():
    with pytest.raises(Mismatch, match="24 neurons and one of 12"):
        random_partition(24, 4, 0).ari(random_partition(12, 4, 0))


def test_what_is_saved_is_read_back(tmp_path):
    quality = PartitionQuality(
        affinity="phi", q=0.4, random=np.array([0.0, 0.1]), shuffled=np.array([0.05]), n_rows=9
    )
    found = Partition(
        **{
            **vars(random_partition(24, 4, 0)),
            "objective": 2.5,
            "objective_name": "inertia",
            "null_objective": np.array([3.0, 4.0]),
            "seeds": (1, 2),
            "rounds": (4, 5),
            "seed_ari": SeedAgreement(0.5, 0.25),
            "quality": quality,
        }
    )
    found.save(tmp_path / "p")
    back = Partition.load(tmp_path / "p")
    for name, value in vars(found).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(back, name), value)
        elif name != "quality":
            assert getattr(back, name) == value
    assert back.quality is not None
    assert back.quality.arrays().keys() == quality.arrays().keys()
    assert back.quality.z_random == quality.z_random
    assert json.loads(json.dumps(back.to_json(), allow_nan=False))["quality"]["random"]["n"] == 2


def test_without_objective_or_quality_it_is_saved_and_read_too(tmp_path):
    found = random_partition(24, 4, 0)
    found.save(tmp_path / "p")
    back = Partition.load(tmp_path / "p")
    assert np.isnan(back.objective)
    assert back.quality is None
    assert json.dumps(back.to_json(), allow_nan=False)


def test_labels_that_skip_an_expert_are_a_corrupt_file(tmp_path):
    found = random_partition(24, 4, 0)
    found.save(tmp_path / "p")
    header = tmp_path / "p" / "header.json"
    header.write_text(header.read_text().replace('"n_experts": 4', '"n_experts": 5'))
    with pytest.raises(CorruptFile, match="not a whole partition"):
        Partition.load(tmp_path / "p")


def test_p_counts_the_observed_among_the_draws():
    quality = PartitionQuality(
        affinity="phi", q=0.4, random=np.zeros(19), shuffled=np.array([0.5, 0.1, 0.2]), n_rows=9
    )
    assert quality.p == pytest.approx(2 / 4)
    assert quality.p_random == pytest.approx(1 / 20)
    assert np.isnan(quality.z_random)
