"""What is measured of a dictionary: every measure's unit, definition, and what its n counts."""

from dataclasses import dataclass
from typing import Literal

Counted = Literal["rows", "features", "tokens"]
"""`rows` of the store, `features` of the dictionary, `tokens` that the model predicts."""


@dataclass(frozen=True, kw_only=True)
class MeasureKind:
    """One measure, as a table's row names it."""

    key: str
    title: str
    unit: str
    counted: Counted
    """What its n counts; rows and tokens are drawn again by sequence for the interval."""
    definition: str


_BY_SEQUENCE = "95% bootstrap over sequences"
_OVER_FEATURES = "Wilson over features"


def _kind(key: str, title: str, unit: str, counted: Counted, definition: str) -> MeasureKind:
    return MeasureKind(key=key, title=title, unit=unit, counted=counted, definition=definition)


MEASURES: dict[str, MeasureKind] = {
    kind.key: kind
    for kind in (
        _kind(
            *("explained_variance", "explained variance", "share", "rows"),
            "1 − Σ‖x − x̂‖² / Σ‖x − x̄‖², x̄ the mean of the evaluated rows",
        ),
        _kind(
            *("normalised_mse", "normalised MSE", "share", "rows"),
            "Σ‖x − x̂‖² / Σ‖x‖²",
        ),
        _kind("mse", "MSE", "squared activation", "rows", "mean over rows of ‖x − x̂‖²"),
        _kind("cosine", "cosine", "cosine", "rows", "mean over rows of the cosine of x and x̂"),
        _kind("l0", "L0", "features a row", "rows", "features that are not zero"),
        _kind("l1", "L1", "activation a row", "rows", "sum of the features' absolute values"),
        _kind(
            *("l2_ratio", "l2 ratio", "ratio", "rows"),
            "mean over rows of ‖x̂‖ / ‖x‖: below 1 is shrinkage",
        ),
        _kind(
            *("relative_reconstruction_bias", "relative reconstruction bias", "ratio", "rows"),
            "Σ‖x̂‖² / Σ x·x̂ (2404.16014 eq. 10): below 1 is shrinkage",
        ),
        _kind(
            *("dead", "dead features", "share", "features"),
            f"never on in the evaluated rows; {_OVER_FEATURES}",
        ),
        _kind(
            *("dead_density_bound", "density a dead feature may have", "share of rows", "rows"),
            "upper end of Wilson's 95% interval of 0 rows of n",
        ),
        _kind(
            *("dense", "dense features", "share", "features"),
            f"on in more than a tenth of the rows; {_OVER_FEATURES}",
        ),
        _kind(
            *("nearest_decoder_cosine", "nearest decoder neighbour", "cosine", "features"),
            "mean over features of the largest cosine with another's decoder row",
        ),
        _kind(
            *("encoder_decoder_cosine", "encoder and decoder", "cosine", "features"),
            "mean over features of the cosine of encoder column and decoder row",
        ),
        _kind(
            *("loss_recovered", "loss recovered", "share", "tokens"),
            "(CE zero − CE spliced) / (CE zero − CE clean)",
        ),
        _kind(
            *("loss_recovered_from_mean", "loss recovered over the mean", "share", "tokens"),
            "(CE mean − CE spliced) / (CE mean − CE clean)",
        ),
        _kind("ce_clean", "CE, clean", "nats a token", "tokens", "of the model as it is"),
        _kind("ce_spliced", "CE, spliced", "nats a token", "tokens", "with x̂ in place of x"),
        _kind("ce_mean", "CE, mean", "nats a token", "tokens", "with the mean row in place of x"),
        _kind("ce_zero", "CE, zero", "nats a token", "tokens", "with zeros in place of x"),
        _kind("kl_spliced", "KL, spliced", "nats a token", "tokens", "KL(clean ‖ spliced)"),
        _kind("kl_mean", "KL, mean", "nats a token", "tokens", "KL(clean ‖ mean ablation)"),
        _kind("kl_zero", "KL, zero", "nats a token", "tokens", "KL(clean ‖ zero ablation)"),
        _kind(
            *("mmcs", "MMCS", "cosine", "features"),
            "mean over true features of the largest cosine with a decoder row",
        ),
        _kind(
            *("recovered", "true features recovered", "share", "features"),
            f"largest cosine with a decoder row at least .9; {_OVER_FEATURES}",
        ),
    )
}
"""By key, in the order of the table."""

NOTE = f"Intervals: {_BY_SEQUENCE}, unless the definition says otherwise; means over features: t."
