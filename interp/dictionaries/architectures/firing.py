"""Which features fired in a batch, and on how many rows, from dense or sparse activations."""

from jaxtyping import Bool, Float
from torch import Tensor


def fired(feature_acts: Tensor) -> Bool[Tensor, " d_sae"]:
    """Whether each feature is other than zero on any row of `feature_acts`."""
    return counts(feature_acts) > 0


def counts(feature_acts: Tensor) -> Float[Tensor, " d_sae"]:
    """The number of rows on which each feature is other than zero.

    `feature_acts` is `[batch, d_sae]`, dense or sparse COO; a stored zero is not a firing.
    """
    if not feature_acts.is_sparse:
        return (feature_acts != 0).sum(dim=0).float()
    features = feature_acts._indices()[1]
    active = (feature_acts._values() != 0).float()
    return active.new_zeros(feature_acts.shape[-1]).index_add_(0, features, active)


def n_active(feature_acts: Tensor) -> Float[Tensor, ""]:
    """Features that are other than zero, on average over rows (L0)."""
    values = feature_acts._values() if feature_acts.is_sparse else feature_acts
    return (values != 0).sum().float() / feature_acts.shape[0]
