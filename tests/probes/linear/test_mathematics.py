"""The regression, the control task, the code and average precision against other ways to them."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.metrics import average_precision_score

from probes.linear.codelength import PORTIONS, online_code
from probes.linear.control import control_labels
from probes.linear.ranking import average_precision_interval, weighted_average_precision
from probes.linear.regression import Scale, choose, fit, log_loss


def problem(n: int = 300, d: int = 5, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, n_classes, n)
    centres = rng.standard_normal((n_classes, d))
    return (centres[classes] + rng.standard_normal((n, d))).astype(np.float32), classes


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_fit_minimises_what_its_docstring_says(n_classes: int) -> None:
    rows, classes = problem(n_classes=n_classes)
    penalty, d = 0.05, rows.shape[1]

    def objective(flat: np.ndarray) -> float:
        if n_classes == 2:
            half = flat[:d] / 2
            weights, bias = np.stack([-half, half]), np.array([-flat[d] / 2, flat[d] / 2])
            size = flat[:d] @ flat[:d]
        else:
            weights, bias = flat[: n_classes * d].reshape(n_classes, d), flat[n_classes * d :]
            size = (weights**2).sum()
        logits = rows @ weights.T + bias
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return -log_p[np.arange(len(rows)), classes].mean() + penalty / 2 * size

    n_free = d + 1 if n_classes == 2 else n_classes * (d + 1)
    lowest = minimize(objective, np.zeros(n_free), method="BFGS").fun
    found = fit(rows, classes, n_classes=n_classes, penalty=penalty)
    weights, bias = found.weights, found.bias
    flat = np.append(2 * weights[1], 2 * bias[1])
    if n_classes > 2:
        flat = np.append(weights.ravel(), bias)
    assert objective(flat) == pytest.approx(lowest, abs=1e-4)


def test_undoing_the_scale_gives_the_same_probabilities_of_raw_rows() -> None:
    rows, classes = problem()
    rows = rows * np.array([1e-3, 1, 50, 7, 1], np.float32) + np.array(
        [0, 900, -3, 0, 0], np.float32
    )
    rows[:, 4] = 3.14159
    scale = Scale.of(rows)
    fitted = fit(scale.apply(rows), classes, n_classes=3, penalty=0.01)
    raw = scale.undo(fitted)
    np.testing.assert_allclose(
        raw.log_probabilities(rows.astype(np.float64)),
        fitted.log_probabilities(scale.apply(rows)),
        atol=1e-3,
    )
    np.testing.assert_array_equal(scale.apply(rows)[:, 4], 0)


def test_the_weights_of_overlapping_classes_are_the_normal_of_the_best_plane() -> None:
    rng = np.random.default_rng(0)
    along, size = rng.standard_normal(6), np.geomspace(0.1, 100, 6)
    along /= np.linalg.norm(along)
    classes = rng.integers(0, 2, 6000)
    rows = ((rng.standard_normal((6000, 6)) + 2 * np.outer(classes, along)) * size).astype("f4")
    scale = Scale.of(rows)
    raw = scale.undo(fit(scale.apply(rows), classes, n_classes=2, penalty=1e-4))
    # Equal Gaussians: log odds are 2 along · (x / size) + a constant.
    np.testing.assert_allclose((raw.weights[1] - raw.weights[0]) * size, 2 * along, atol=0.15)


def test_the_penalty_is_the_best_on_validation_rows_alone() -> None:
    rows, classes = problem(n=60, d=40)
    train, validation = (rows[:30], classes[:30]), (rows[30:], classes[30:])
    chosen = choose(train, validation, n_classes=3, penalties=(1.0, 0.1, 1e-4))
    fits = [fit(*train, n_classes=3, penalty=penalty) for penalty in (1.0, 0.1, 1e-4)]
    losses = [log_loss(one, *validation) for one in fits]
    np.testing.assert_allclose(chosen.losses, losses)
    assert chosen.penalty == (1.0, 0.1, 1e-4)[int(np.argmin(losses))]


def test_a_class_without_rows_is_unlikely_but_possible() -> None:
    rows, classes = problem()
    seen = classes != 2
    fitted = fit(rows[seen], classes[seen], n_classes=3, penalty=0.1)
    probability = np.exp(fitted.log_probabilities(rows))
    assert probability.shape == (len(rows), 3)
    assert 0 < probability[:, 2].mean() < 0.05


def test_a_control_label_belongs_to_the_type_and_has_the_labels_frequencies() -> None:
    types = np.random.default_rng(0).integers(0, 5000, 20_000)
    drawn = control_labels(types, np.array([60.0, 30.0, 10.0]), seed=0)
    of_type: dict[int, int] = {}
    for word, label in zip(types.tolist(), drawn.tolist(), strict=True):
        assert of_type.setdefault(word, label) == label
    shares = np.bincount(list(of_type.values())) / len(of_type)
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=0.03)


def test_a_control_label_does_not_depend_on_the_other_rows() -> None:
    types = np.random.default_rng(0).integers(0, 1000, 200)
    frequencies = np.array([1.0, 1.0])
    drawn = control_labels(types, frequencies, seed=3)
    for some in (np.arange(0, 200, 3), np.arange(150, 200), np.array([7])):
        np.testing.assert_array_equal(control_labels(types[some], frequencies, seed=3), drawn[some])


def test_a_code_that_learns_nothing_is_the_uniform_code() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 2, 1500)
    rows = np.zeros((1500, 3), np.float32)
    found = online_code(rows, classes, n_classes=2, penalty=0.1)
    assert found.compression == pytest.approx(1.0, abs=0.03)
    told = (classes[:, None] * 6 + rng.standard_normal((1500, 1))).astype(np.float32)
    assert online_code(told, classes, n_classes=2, penalty=1e-3).compression > 10
    assert PORTIONS[-1] == 1.0


def test_a_code_of_many_classes_is_finite_from_its_first_rows_on() -> None:
    rows, classes = problem(n=400, d=3, n_classes=17)
    found = online_code(rows, classes, n_classes=17, penalty=0.01)
    assert np.isfinite(found.nats)
    assert found.compression == pytest.approx(400 * np.log(17) / found.nats)


def test_weighted_average_precision_is_scikit_learns_ties_included() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, 80) / 3
    truth = rng.random(80) < 0.3
    weights = rng.integers(0, 4, (20, 80))
    found = weighted_average_precision(scores, truth, weights)
    for one, expected in zip(found, weights, strict=True):
        assert one == pytest.approx(average_precision_score(truth, scores, sample_weight=expected))


def test_the_interval_of_average_precision_holds_its_value_and_widens_with_fewer_groups() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((600, 1)) < 0.4
    scores = truth + rng.standard_normal((600, 1))
    alone = average_precision_interval(scores, truth, np.arange(600), rng=rng)
    together = average_precision_interval(scores, truth, np.arange(600) // 60, rng=rng)
    assert alone.low < alone.value < alone.high
    assert alone.value == pytest.approx(average_precision_score(truth[:, 0], scores[:, 0]))
    assert together.value == alone.value
    none = average_precision_interval(scores, truth & False, np.arange(600), rng=rng)
    assert np.isnan(none.value)
