import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from interp.corpus.corpus import Corpus
from interp.models.load import load
from interp.modules.partition import Partition
from interp.modules.partitioning.random import random_partition
from interp.modules.perturbation.items import FunctionItem
from interp.modules.perturbation.measuring import item_batches
from interp.modules.routing.comparing import mean_and_range
from interp.modules.routing.reading import mixed, read_rows, text_items
from interp.modules.routing.report import RoutingReport
from interp.modules.routing.routers import routers
from interp.modules.routing.run import measure_routing
from interp.modules.routing.settings import ROUTERS, RoutingSettings
from interp.results.errors import BadInput, CorruptFile, Mismatch, Unsupported

SITE, OTHER = "blocks.0.mlp.hook_post", "blocks.1.mlp.hook_post"
QUICK = RoutingSettings(routers=("oracle", "similarity", "chance"), effect_ks=(1, 6), n_random=2)


def items(n=24):
    rng = np.random.default_rng(0)
    return [
        FunctionItem(
            id=str(i),
            function="any",
            split="test" if i % 2 else "validation",
            tokens=tuple(rng.integers(4, 60, size=8).tolist()),
            answer_start=4,
            answer_end=8,
            has_answer=True,
        )
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def bridge(model_directory):
    return load(model_directory("llama"))


@pytest.fixture(scope="module")
def report(bridge):
    both = [random_partition(48, 6, seed=i, site=site) for i, site in enumerate((SITE, OTHER))]
    return measure_routing(bridge, both, items(), settings=QUICK)


def test_all_experts_lose_nothing_and_capture_everything(report):
    assert (report.mass[:, :, -1, 0] == 1).all()
    for part, router in report.contestants:
        assert tuple(report.effect(part, router, 6)) == (0, 0, 0)
        assert report.effect(part, router, 6, of="accuracy").value == 0


def test_capture_rises_with_k_and_the_oracle_is_ahead(report):
    assert (np.diff(report.mass[..., 0], axis=2) >= 0).all()
    for site in (SITE, OTHER):
        for part in ("own", "random"):
            best = report.captured(site, part, "oracle", 2).value
            for router in ("similarity", "chance"):
                assert report.captured(site, part, router, 2).value <= best


def test_chance_holds_k_of_e_within_its_interval(report):
    for k in (1, 3, 5):
        found = report.captured(SITE, "own", "chance", k)
        assert found.low - 0.02 <= k / 6 <= found.high + 0.02


def test_counts_and_measures_are_said(report):
    assert (report.n_items, report.n_tokens, report.n_fit_tokens) == (12, 48, 48)
    assert report.measures == ("norm", "norm")
    assert report.mass.shape == (2, 6, 6, 3)


def test_what_is_saved_is_read_back(report, tmp_path):
    report.save(tmp_path / "r")
    back = RoutingReport.load(tmp_path / "r")
    np.testing.assert_array_equal(back.mass, report.mass)
    assert back.contestants == report.contestants
    assert json.loads(json.dumps(back.to_json(), allow_nan=False))["n_experts"] == 6
    header = tmp_path / "r" / "header.json"
    header.write_text(header.read_text().replace('"sites": [\n    "blocks.0', '"sites": [\n "x",'
                                                 '\n    "blocks.0'))  # fmt: skip
    with pytest.raises(CorruptFile):
        RoutingReport.load(tmp_path / "r")


def test_rows_to_learn_from_are_of_every_function_however_few_they_are(bridge):
    many = [replace(item, function=name) for name in ("add", "max", "xor") for item in items(64)]
    batches = item_batches(many, batch_size=4)
    mixture = mixed(batches, seed=0)
    assert sorted(map(id, mixture)) == sorted(map(id, batches))
    rows = read_rows(bridge, mixture, [SITE], max_rows=48)
    assert len(rows.item) == 48
    assert {many[i].function for i in rows.item} == {"add", "max", "xor"}
    later = read_rows(bridge, mixture, [SITE], max_rows=384)
    shares = [np.mean([many[i].function == name for i in later.item]) for name in ("add", "max")]
    assert min(shares) > 0.2
    alone = read_rows(bridge, batches, [SITE], max_rows=48)
    assert {many[i].function for i in alone.item} == {"add"}


def test_a_mean_in_place_of_nothing_changes_the_loss(bridge):
    one = [random_partition(48, 6, seed=0, site=SITE)]
    quick = RoutingSettings(routers=("oracle",), effect_ks=(1,), n_random=0)
    zero, mean = (
        measure_routing(bridge, one, items(), settings=settings)
        for settings in (quick, replace(quick, fill="mean"))
    )
    assert zero.effect("own", "oracle", 1) != mean.effect("own", "oracle", 1)
    np.testing.assert_array_equal(zero.mass, mean.mass)


def test_plain_text_has_a_loss_and_no_accuracy(bridge):
    tokens = np.random.default_rng(1).integers(4, 60, size=(12, 8))
    found = text_items(Corpus.from_tokens(tokens), max_tokens=90)
    assert {item.split for item in found} == {"validation", "test"}
    settings = RoutingSettings(routers=("oracle",), effect_ks=(2,), n_random=0)
    report = measure_routing(
        bridge, [random_partition(48, 6, seed=0, site=SITE)], found, settings=settings
    )
    assert np.isnan(report.dense[1])
    assert np.isnan(report.effect("own", "oracle", 2, of="accuracy").value)
    assert np.isfinite(report.effect("own", "oracle", 2).low)


def test_what_cannot_be_measured_is_refused(bridge, model_directory):
    one = random_partition(48, 6, seed=0, site=SITE)
    with pytest.raises(BadInput, match="router 'best'"):
        measure_routing(bridge, [one], items(), settings=RoutingSettings(routers=("best",)))
    with pytest.raises(BadInput, match="k = 9"):
        measure_routing(bridge, [one], items(), settings=RoutingSettings(effect_ks=(9,)))
    with pytest.raises(BadInput, match="both splits"):
        measure_routing(bridge, [one], [i for i in items() if i.split == "test"])
    with pytest.raises(BadInput, match="two partitions"):
        measure_routing(bridge, [one, one], items())
    other = random_partition(48, 4, seed=0, site=OTHER)
    with pytest.raises(Mismatch, match="4, 6 experts"):
        measure_routing(bridge, [one, other], items())
    foreign = Partition(**{**vars(one), "model_hash": "f" * 64})
    with pytest.raises(Mismatch, match="of model ffff"):
        measure_routing(bridge, [foreign], items())
    with pytest.raises(Unsupported, match="decoder"):
        measure_routing(load(model_directory("bert")), [one], items())
    assert torch.is_grad_enabled()


def test_the_names_of_routers_are_those_of_the_folder_and_a_range_stays_in_its_draws() -> None:
    assert set(ROUTERS) == set(routers())
    assert mean_and_range(np.array([0.1, 0.9])) == (0.5, 0.1, 0.9)
