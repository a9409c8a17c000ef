"""Probes on stores whose answer is planted: what is linear is read, what is not, is not."""

from pathlib import Path

import numpy as np
import pytest

from interp.capture.store import ActivationStore
from interp.results.errors import BadInput, CorruptFile, Mismatch
from probes.linear import ProbeResult, fit_probes
from tests.probes.linear.stores import written

PLANTED, NOISE, HEADS = "blocks.0.planted", "blocks.0.noise", "blocks.1.heads"
N_DOCUMENTS, LENGTH, D = 150, 20, 12
N = N_DOCUMENTS * LENGTH


def columns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    document = np.repeat(np.arange(N_DOCUMENTS), LENGTH)
    binary = rng.integers(0, 2, N)
    binary[::LENGTH] = -1
    return {
        "document": document,
        "token": rng.integers(0, 40, N),
        "binary": binary,
        "three": rng.integers(0, 3, N),
        "of_document": np.repeat(rng.integers(0, 2, N_DOCUMENTS), LENGTH),
        "side": np.repeat(np.arange(N_DOCUMENTS) % 4 == 0, LENGTH).astype(np.int64),
        "fraction": rng.random(N),
        "constant": np.zeros(N, np.int64),
    }


def direction() -> np.ndarray:
    along = np.random.default_rng(1).standard_normal(D)
    return along / np.linalg.norm(along)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    """Units of very different sizes; the label moves them along one direction, far from zero."""
    rng = np.random.default_rng(2)
    known = columns()
    size = np.geomspace(0.01, 100, D)
    noise = rng.standard_normal((N, D))
    planted = noise + 6 * np.outer(known["binary"] == 1, direction())
    three = np.eye(3)[known["three"]] * 6 + rng.standard_normal((N, 3))
    heads = np.stack([three, rng.standard_normal((N, 3))], axis=1)
    labels = {k: v for k, v in known.items() if k not in ("document", "token")}
    return written(
        tmp_path_factory.mktemp("probe") / "store",
        {PLANTED: planted * size + 5 * size, NOISE: noise, HEADS: heads},
        labels,
        document=known["document"],
        token=known["token"],
        label_values={"three": ["a", "b", "c"], "side": ["train", "test"]},
    )


@pytest.fixture(scope="module")
def result(store: ActivationStore) -> ProbeResult:
    return fit_probes(store, sites=["blocks.0.*"], label="binary")


def test_a_planted_direction_is_read_and_noise_is_at_the_majority(result: ProbeResult) -> None:
    assert result.sites == (PLANTED, NOISE)
    assert result.cell("accuracy", PLANTED).value > 0.99
    assert result.cell("average_precision", PLANTED).value > 0.99
    noise = result.cell("accuracy", NOISE)
    assert noise.low - 0.03 < result.majority < noise.high + 0.03
    chance = result.cell("average_precision", NOISE)
    assert chance.low - 0.03 < result.chance_average_precision < chance.high + 0.03
    assert result.cell("log_loss", NOISE).value > result.prior_log_loss - 0.03


def test_noise_does_not_compress_and_a_readable_label_does(result: ProbeResult) -> None:
    planted, noise = result.compression
    assert planted > 5
    assert noise < 1.05
    assert result.codelength[1] == pytest.approx(np.log(2) / noise)


def test_the_weights_read_rows_as_the_store_holds_them(
    store: ActivationStore, result: ProbeResult
) -> None:
    rows, label = store.rows(PLANTED, 0, N), store.column("binary", 0, N)
    said = result.logits(PLANTED, rows).argmax(axis=1)
    assert (said[label != -1] == label[label != -1]).mean() > 0.99


def test_the_direction_lies_along_what_was_planted_in_the_stores_own_units(
    result: ProbeResult,
) -> None:
    along = result.direction(PLANTED)
    # Noise of standard deviation `size` a unit: the best plane's normal is direction / size. So far
    # apart, the classes leave a margin in which other planes are as good.
    size = np.geomspace(0.01, 100, D)
    scaled = along * size
    assert scaled @ direction() / np.linalg.norm(scaled) > 0.9
    assert np.linalg.norm(along) == pytest.approx(1)
    np.testing.assert_allclose(result.direction(PLANTED, "0"), -along)


def test_the_means_of_the_classes_differ_by_what_was_planted(result: ProbeResult) -> None:
    between = result.mean_difference(PLANTED) / np.geomspace(0.01, 100, D)
    np.testing.assert_allclose(between, 6 * direction(), atol=0.3)
    np.testing.assert_allclose(
        result.mean_difference(PLANTED, "0") * -1, between * np.geomspace(0.01, 100, D)
    )


def test_more_classes_and_a_site_of_heads_are_read_too(store: ActivationStore) -> None:
    found = fit_probes(store, sites=[HEADS], label="three")
    assert found.classes == ("a", "b", "c")
    assert found.weights[HEADS].shape == (3, 6)
    assert found.accuracy[0, 0] > 0.99
    assert found.average_precision[0, 0] > 0.99
    assert found.chance_average_precision == pytest.approx(1 / 3)
    assert abs(found.direction(HEADS, "b")[1]) > 0.5


def test_the_same_seed_gives_the_same_numbers_and_another_other_documents(
    store: ActivationStore,
) -> None:
    quick = {"sites": [NOISE], "label": "binary", "codelength": False}
    first, again = (fit_probes(store, **quick) for _ in range(2))
    np.testing.assert_array_equal(first.weights[NOISE], again.weights[NOISE])
    assert fit_probes(store, **quick, seed=1).accuracy[0, 0] != first.accuracy[0, 0]


def test_the_budget_is_kept_and_told(store: ActivationStore) -> None:
    found = fit_probes(store, sites=[NOISE], label="binary", max_rows=500)
    assert sum(found.n_rows.values()) <= 500
    assert found.n_rows["train"] > 250
    assert found.provenance.settings["max_rows"] == 500


def test_a_pooled_probe_counts_documents(store: ActivationStore) -> None:
    found = fit_probes(store, sites=[NOISE], label="of_document", pool="mean")
    assert sum(found.n_rows.values()) == N_DOCUMENTS
    assert found.n_rows == found.n_groups


def test_a_column_can_say_which_side_a_row_is_on(store: ActivationStore) -> None:
    found = fit_probes(store, sites=[NOISE], label="binary", split="side")
    tested = sum(1 for document in range(N_DOCUMENTS) if document % 4 == 0)
    assert found.n_groups["test"] == tested
    assert sum(found.n_groups.values()) == N_DOCUMENTS


def test_where_keeps_the_rows_of_one_value(store: ActivationStore) -> None:
    found = fit_probes(store, sites=[NOISE], label="binary", where={"three": "b"})
    label, three = store.column("binary", 0, N), store.column("three", 0, N)
    assert sum(found.n_rows.values()) == ((label != -1) & (three == 1)).sum()


def test_the_untrained_store_is_the_floor(store: ActivationStore, tmp_path: Path) -> None:
    known = columns()
    labels = {k: v for k, v in known.items() if k not in ("document", "token")}
    rows = np.random.default_rng(9).standard_normal((N, D))
    other = written(
        tmp_path / "other", {PLANTED: rows}, labels, document=known["document"], model_hash="r"
    )
    found = fit_probes(store, sites=[PLANTED], label="binary", baseline=other)
    assert found.cell("baseline_accuracy", PLANTED).value < 0.6
    assert found.cell("above_baseline", PLANTED).low > 0.3
    foreign = written(
        tmp_path / "foreign", {PLANTED: rows}, labels, document=known["document"], corpus_hash="d"
    )
    with pytest.raises(Mismatch, match="capture both on the same corpus"):
        fit_probes(store, sites=[PLANTED], label="binary", baseline=foreign)
    with pytest.raises(Mismatch, match="is of the same weights"):
        fit_probes(store, sites=[PLANTED], label="binary", baseline=store)


def test_a_result_saves_loads_and_shows_itself(result: ProbeResult, tmp_path: Path) -> None:
    loaded = ProbeResult.load(result.save(tmp_path / "probe"))
    assert loaded.to_json() == result.to_json()
    np.testing.assert_array_equal(loaded.weights[PLANTED], result.weights[PLANTED])
    np.testing.assert_array_equal(loaded.selectivity, result.selectivity)
    assert "without the site" in str(loaded)
    assert "<table>" in loaded._repr_html_()
    data = tmp_path / "probe" / "data.safetensors"
    data.write_bytes(data.read_bytes()[:-1] + b"!")
    with pytest.raises(CorruptFile):
        ProbeResult.load(tmp_path / "probe")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"label": "constant"}, "has 1 class"),
        ({"label": "fraction"}, "holds fractions"),
        ({"label": "nothing"}, "no column 'nothing'"),
        ({"label": "binary", "pool": "mean"}, "varies within document"),
        ({"label": "binary", "split": "three"}, "a split says train and test"),
        ({"label": "binary", "split": "side", "group": "three"}, "is on two sides"),
        ({"label": "binary", "where": {"three": "z"}}, "is never 'z'"),
        ({"label": "binary", "where": {"token": "99"}}, "no row has label"),
        ({"label": "binary", "where": {"document": "3"}}, "too few"),
        ({"label": "binary", "sites": ["blocks.9.*"]}, "no site"),
        ({"label": "binary", "max_rows": 1}, "at least 10"),
    ],
)
def test_what_cannot_be_probed_is_said(
    store: ActivationStore, asked: dict[str, object], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        fit_probes(store, **{"sites": [NOISE], **asked})


def test_a_direction_of_no_class_is_refused(result: ProbeResult) -> None:
    with pytest.raises(BadInput, match="no class '7'"):
        result.direction(PLANTED, "7")
    with pytest.raises(BadInput, match="no site"):
        result.direction(HEADS)
    with pytest.raises(BadInput, match="no class '7'"):
        result.mean_difference(PLANTED, "7")
