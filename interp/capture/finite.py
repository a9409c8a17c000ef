"""Rows of a store as numbers to compute with: flat, float32, none of them NaN or infinite."""

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.capture.store import ActivationStore
from interp.results.errors import BadInput


def finite_rows(
    store: ActivationStore,
    site: str,
    start: int,
    stop: int,
    *,
    keep: Bool[np.ndarray, " stretch"] | None = None,
) -> Float[np.ndarray, "rows d"]:
    """Rows `start` to `stop` of a site, trailing axes in one; with `keep`, only those of them.

    Raises BadInput naming site, row and unit of the first value that is NaN or infinite.
    """
    rows = store.rows(site, start, stop).reshape(stop - start, -1).astype(np.float32, copy=False)
    numbers = np.arange(start, stop)
    if keep is not None:
        rows, numbers = rows[keep], numbers[keep]
    refuse_not_finite(rows, site, numbers, str(store.path))
    return rows


def refuse_not_finite(
    rows: Float[np.ndarray, "rows d"],
    site: str,
    numbers: int | Int[np.ndarray, " rows"],
    source: str,
) -> None:
    """BadInput naming site, row and unit of a value not finite.

    `numbers`: the number of the first row, or of each.
    """
    # A sum over what is not finite is not finite; only then every entry is looked at.
    with np.errstate(over="ignore", invalid="ignore"):
        is_fine = np.isfinite(rows.sum())
    if is_fine or np.isfinite(rows).all():
        return
    row, unit = np.argwhere(~np.isfinite(rows))[0].tolist()
    number = numbers + row if isinstance(numbers, int) else numbers[row]
    raise BadInput(
        f"{source}: {site} is {rows[row, unit]} in row {number}, unit {unit}, and nothing can "
        "be learnt from that: capture it again in float32, with the model in float32"
    )
