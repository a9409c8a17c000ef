"""The measures of sparsity: title, and what exactly is measured."""

from typing import NamedTuple

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
"""Shares of the summed norms of the neurons' outputs at which the neurons needed are counted."""
SHARES_LEFT = (0.5, 0.9, 0.99)
"""Those at which it is measured what dropping all other neurons takes from the output."""


class Definition(NamedTuple):
    """One measure, a share of 0 to 1."""

    title: str
    definition: str
    counted: str
    """What its n counts."""


MEASURES: dict[str, Definition] = {
    "active": Definition("active", "share of neurons active at a token, mean of tokens", "tokens"),
    "in_sequence": Definition(
        "in a sequence",
        "share of neurons active at one token of a sequence or more, mean of sequences",
        "sequences",
    ),
    "in_sequence_independent": Definition(
        "if independent",
        "the same if every token of a sequence were drawn from all tokens: 1 − (1 − rate)^length",
        "sequences",
    ),
    "dead": Definition("dead", "share of neurons active at no token at all", "neurons"),
    "dense": Definition("dense", "share of neurons active at more than half of tokens", "neurons"),
    "hoyer": Definition(
        "Hoyer",
        "(√N − ‖h‖₁/‖h‖₂) / (√N − 1), mean of tokens: 1 is one neuron, 0 equal ones",
        "tokens",
    ),
    "effective": Definition(
        "effective", "effective count ‖h‖₁²/‖h‖₂² over N, mean of tokens", "tokens"
    ),
    "dropped": Definition(
        "dropped",
        "norm of the inactive neurons' summed output over that of the layer's (CETT, 2402.03804)",
        "tokens",
    ),
    **{
        f"needed_{share:g}": Definition(
            f"for {share:.0%}",
            f"share of neurons needed, largest first, for {share:.0%} of the summed norms of what "
            "the neurons write",
            "tokens",
        )
        for share in SHARES
    },
    **{
        f"left_{share:g}": Definition(
            f"left at {share:.0%}",
            f"norm of the summed output of all but those over that of the layer's, at {share:.0%}",
            "tokens",
        )
        for share in SHARES_LEFT
    },
}
