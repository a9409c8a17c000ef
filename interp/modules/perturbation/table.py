"""A perturbation as a table: what disturbing each function's neurons costs every function."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from interp.results.escape import visible
from interp.results.tables import html_table, text_table

if TYPE_CHECKING:
    from interp.modules.perturbation.result import PerturbationResult

_WITH_INTERVALS_TO = 8
"""Functions beyond which the printed table leaves intervals to the finding."""
_WORDS = {"accuracy": "accuracy lost", "loss": "loss added (nats)"}


def table(found: "PerturbationResult") -> tuple[list[str], list[list[str]]]:
    """Heading and lines: the drop matrix, random neurons and whole layers under it."""
    measure, n = found.measure, len(found.functions)
    row = ("accuracy", "loss").index(measure)
    ends = len(found.evaluated) <= _WITH_INTERVALS_TO
    heading = [f"{_WORDS[measure]} by", "neurons", *found.evaluated]
    blank = [""] * (len(found.evaluated) - n)
    lines = [
        [f"{function}'s", str(found.n_units[i]), *_cells(found.drop[row, i], ends)]
        for i, function in enumerate(found.functions)
    ]
    for name, drops in found.alternatives.items():
        own = np.diagonal(drops[row, :, :n], axis1=0, axis2=1).T
        counts = _counts(found.n_units.astype(float))
        lines.append([f"own {name}", counts, *_cells(own, ends), *blank])
    for name, draws in found.controls.items():
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(*_spread(draws[row]), strict=True)]
        lines.append([name, _counts(found.control_units[name]), *cells, *blank])
    sets = [*found.sites, "all of these"] if len(found.sites) > 1 else list(found.sites)
    widths = [found.units[site].shape[1] for site in found.sites]
    sizes = [*widths, sum(widths)] if len(found.sites) > 1 else widths
    for i, (name, size) in enumerate(zip(sets, sizes, strict=True)):
        lines.append([f"whole {name}", str(size), *_cells(found.whole[row, i], ends)])
    lines.append([f"{measure} as it is", "0", *_cells(found.base[row], ends)])
    return heading, lines


def notes(found: "PerturbationResult") -> list[str]:
    """What stands under the table: the statistics, the controls, and what to keep in mind."""
    measure = found.measure
    row = ("accuracy", "loss").index(measure)
    said = [
        f"Own minus other, mean over functions: {found.specificity()}; p "
        f"{found.p_relabelled[row]:.2g} over relabelled rows (smallest possible "
        f"{found.min_p_relabelled:.2g})."
    ]
    for name in found.controls:
        p = ", ".join(f"{value:.2g}" for value in found.p_own(name))
        said.append(
            f"Own over {name}: {found.over(name):.1f} times the drop; p of each function against "
            f"{found.n_draws} draws {p}."
        )
    said.append(f"± is the standard deviation over {found.n_draws} random draws.")
    nothing = found.nothing_to_find()
    if nothing:
        said.append(
            f"Disturbing the layers whole shows no effect on {', '.join(nothing)}: there is no "
            "module to find here."
        )
    return [*said, *found.statements]


def as_text(found: "PerturbationResult") -> str:
    """The table and its notes, as wide as they are."""
    return text_table(*table(found), [visible(note, limit=len(note)) for note in notes(found)])


def as_html(found: "PerturbationResult") -> str:
    """The table and its notes for a notebook; every text escaped."""
    return html_table(*table(found), notes(found))


def _cells(values: Float[np.ndarray, "evaluated 3"], ends: bool) -> list[str]:
    """One cell a function: the value, with its interval where that is asked for."""
    return [
        "-" if np.isnan(v) else f"{v:.3f} [{low:.3f}, {high:.3f}]" if ends else f"{v:.3f}"
        for v, low, high in values
    ]


def _spread(
    draws: Float[np.ndarray, "draws functions"],
) -> tuple[Float[np.ndarray, " functions"], Float[np.ndarray, " functions"]]:
    return draws.mean(axis=0), draws.std(axis=0, ddof=1 if len(draws) > 1 else 0)


def _counts(counts: Float[np.ndarray, " functions"]) -> str:
    low, high = counts.min(), counts.max()
    return f"{low:.0f}" if low == high else f"{low:.0f}-{high:.0f}"
