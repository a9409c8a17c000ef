"""Multinomial logistic regression, and its weights in the units of the rows it was given."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

PENALTIES = (1.0, 0.1, 0.01, 1e-3, 1e-4)
"""λ, from strong to weak, of mean loss + λ/2 |w|² on standardised units."""
_MAX_ITERATIONS = 500


class Linear(NamedTuple):
    """Logits are rows @ weights.T + bias; their softmax is the probability of each class."""

    weights: Float[np.ndarray, "classes d"]
    bias: Float[np.ndarray, " classes"]
    converged: bool

    def log_probabilities(
        self, rows: Float[np.ndarray, "rows d"]
    ) -> Float[np.ndarray, "rows classes"]:
        """Natural logarithms of the probabilities."""
        logits = rows @ self.weights.astype(rows.dtype).T + self.bias
        logits = logits.astype(np.float64)
        largest = logits.max(axis=1, keepdims=True)
        return logits - largest - np.log(np.exp(logits - largest).sum(axis=1, keepdims=True))


class Scale(NamedTuple):
    """Mean and spread of every unit over the rows that are fitted."""

    mean: Float32[np.ndarray, " d"]
    spread: Float32[np.ndarray, " d"]

    @classmethod
    def of(cls, rows: Float32[np.ndarray, "rows d"]) -> "Scale":
        """Those of some rows; a unit that never changes has spread 1, and gets no weight."""
        mean = rows.mean(axis=0, dtype=np.float64)
        spread = np.sqrt(rows.var(axis=0, dtype=np.float64))
        # Rounding gives a constant unit a spread of its last bits, and dividing would blow them up.
        still = spread <= 1e-6 * np.maximum(np.abs(mean), 1e-30)
        spread[still] = 1.0
        return cls(mean.astype(np.float32), spread.astype(np.float32))

    def apply(self, rows: Float32[np.ndarray, "rows d"]) -> Float32[np.ndarray, "rows d"]:
        """Rows in units of the spread, from the mean."""
        return (rows - self.mean) / self.spread

    def undo(self, fitted: Linear) -> Linear:
        """The same map for rows as they are."""
        weights = fitted.weights / self.spread
        return Linear(weights, fitted.bias - weights @ self.mean, fitted.converged)


def fit(
    rows: Float32[np.ndarray, "rows d"],
    classes: Int[np.ndarray, " rows"],
    *,
    n_classes: int,
    penalty: float,
) -> Linear:
    """The minimum of mean cross-entropy + `penalty`/2 |weights|² (the bias is free).

    A class without rows enters as one row at the origin: its probability is then small, not 0,
    and no code length is infinite. Two classes share one weight vector, half each, opposite.
    """
    absent = np.setdiff1d(np.arange(n_classes), classes)
    if len(absent):
        rows = np.concatenate([rows, np.zeros((len(absent), rows.shape[1]), rows.dtype)])
        classes = np.concatenate([classes, absent])
    model = LogisticRegression(C=1 / (penalty * len(rows)), max_iter=_MAX_ITERATIONS)
    with warnings.catch_warnings():
        # Reported as a field of the result, where a reader sees it beside the number.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # The first portions of an online code hold few rows of many classes, and are meant to.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        model.fit(rows, classes)
    converged = bool(np.max(model.n_iter_) < _MAX_ITERATIONS)
    weights = np.asarray(model.coef_, np.float64)
    bias = np.asarray(model.intercept_, np.float64)
    if n_classes == 2:
        weights = np.concatenate([-weights / 2, weights / 2])
        bias = np.concatenate([-bias / 2, bias / 2])
    return Linear(weights, bias, converged)


class Chosen(NamedTuple):
    """The fit with the lowest loss on validation rows, and the penalty that gave it."""

    fitted: Linear
    penalty: float
    losses: Float[np.ndarray, " penalties"]
    """Validation loss, nats, of every penalty tried."""


def choose(
    train: tuple[Float32[np.ndarray, "train d"], Int[np.ndarray, " train"]],
    validation: tuple[Float32[np.ndarray, "validation d"], Int[np.ndarray, " validation"]],
    *,
    n_classes: int,
    penalties: Sequence[float] = PENALTIES,
) -> Chosen:
    """The fit whose penalty has the lowest validation loss; the first of those that tie."""
    fits = [fit(*train, n_classes=n_classes, penalty=penalty) for penalty in penalties]
    losses = np.array([log_loss(one, *validation) for one in fits])
    best = int(losses.argmin())
    return Chosen(fits[best], penalties[best], losses)


def log_loss(
    fitted: Linear, rows: Float[np.ndarray, "rows d"], classes: Int[np.ndarray, " rows"]
) -> float:
    """Mean cross-entropy in nats."""
    return float(-fitted.log_probabilities(rows)[np.arange(len(rows)), classes].mean())
