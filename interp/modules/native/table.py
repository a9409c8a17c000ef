"""RoutingTable: what routers decided over a text, summed by document and function."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

UNLABELLED = -1


class RoutingTable(NamedTuple):
    """Sums by (document, function), sorted by both; UNLABELLED tokens have function -1."""

    document: Int64[np.ndarray, " keys"]
    function: Int64[np.ndarray, " keys"]
    n_tokens: Int64[np.ndarray, " keys"]
    chosen: Int64[np.ndarray, "keys layers experts"]
    """Tokens that chose each expert."""
    probability: Float64[np.ndarray, "keys layers experts"]
    """Sum of router probabilities."""
    entropy: Float64[np.ndarray, "keys layers"]
    """Sum over tokens of the router's entropy, in bits."""
    together: Int64[np.ndarray, "layers experts experts"]
    """Tokens that chose both; the diagonal holds the tokens that chose the expert."""
    group: Int64[np.ndarray, " groups"]
    capacity: Int64[np.ndarray, "groups layers counts"]
    """COUNTS of every group, in order; no groups without a capacity."""
