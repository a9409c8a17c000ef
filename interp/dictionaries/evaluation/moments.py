"""Means and joint second moments of what is read and what is reconstructed, in one pass."""

import torch
from jaxtyping import Float
from torch import Tensor


class JointMoments:
    """Means of x and y, and Σ(x − x̄)(x − x̄)ᵀ and Σ(x − x̄)(y − ȳ)ᵀ, in float64.

    Merging is exact whatever the split (Chan, Golub and LeVeque 1983).
    """

    def __init__(self, d_in: int, d_out: int) -> None:
        self.n = 0
        self.mean_x = torch.zeros(d_in, dtype=torch.float64)
        self.mean_y = torch.zeros(d_out, dtype=torch.float64)
        self.xx = torch.zeros(d_in, d_in, dtype=torch.float64)
        self.xy = torch.zeros(d_in, d_out, dtype=torch.float64)

    def update(self, x: Float[Tensor, "rows d_in"], y: Float[Tensor, "rows d_out"]) -> None:
        """Add some rows."""
        if not len(x):
            return
        other = JointMoments(x.shape[1], y.shape[1])
        x, y = x.double().cpu(), y.double().cpu()
        other.n, other.mean_x, other.mean_y = len(x), x.mean(0), y.mean(0)
        centred = x - other.mean_x
        other.xx, other.xy = centred.T @ centred, centred.T @ (y - other.mean_y)
        self.merge(other)

    def merge(self, other: "JointMoments") -> None:
        """Add the moments of other rows."""
        if other.n == 0:
            return
        n = self.n + other.n
        weight = self.n * other.n / n
        step_x, step_y = other.mean_x - self.mean_x, other.mean_y - self.mean_y
        self.xx = self.xx + other.xx + weight * torch.outer(step_x, step_x)
        self.xy = self.xy + other.xy + weight * torch.outer(step_x, step_y)
        self.mean_x = self.mean_x + step_x * (other.n / n)
        self.mean_y = self.mean_y + step_y * (other.n / n)
        self.n = n


class RowMean:
    """Mean of rows, in float64."""

    def __init__(self, d: int) -> None:
        self.n = 0
        self.total = torch.zeros(d, dtype=torch.float64)

    def update(self, rows: Float[Tensor, "rows d"]) -> None:
        """Add some rows."""
        self.n += len(rows)
        self.total = self.total + rows.double().sum(0).cpu()

    def finish(self) -> Float[Tensor, " d"]:
        """The mean; zeros over no row."""
        return self.total / max(self.n, 1)
