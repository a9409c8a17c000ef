"""A head ablation as a table: found heads beside random ones, under every condition."""

from typing import TYPE_CHECKING

import numpy as np

from interp.results.escape import visible
from interp.results.tables import html_table, text_table

if TYPE_CHECKING:
    from interp.heads.ablation.result import AblationResult

HEADING = (
    *("heads", "asked", "replaced by", "where", "measure", "as it is", "damage", "random heads"),
    "p",
)
EVERY = "all"
"""The column in which all relations count."""
_WHERE = {"event": "asked positions", "all": "every token"}
_WORDS = {
    "margin": "margin lost (logit)",
    "loss": "loss added (nats)",
    "accuracy": "accuracy lost",
}


def table(found: "AblationResult") -> list[list[str]]:
    """Lines under `HEADING`, one for each group, condition and measure.

    A group with the name of a relation is shown on that relation, others on all of them.
    """
    lines = []
    for group in found.groups:
        relation = group if group in found.relations else EVERY
        column = found.columns.index(relation)
        for mode, where in found.conditions:
            for m, (measure, words) in enumerate(_WORDS.items()):
                names = {"group": group, "condition": (mode, where), "measure": measure}
                damage, chance = (
                    found.value(what, relation=relation, **names)
                    for what in ("effect", "random_mean")
                )
                p = found.p_value(relation=relation, **names)
                lines.append(
                    [
                        group,
                        relation,
                        mode,
                        _WHERE[where],
                        words,
                        f"{found.base[m, column, 0]:.3f}",
                        str(damage),
                        str(chance) if found.n_random(group) else "none to compare",
                        "-" if np.isnan(p) else f"{p:.2g}",
                    ]
                )
    return lines


def others_table(found: "AblationResult") -> list[list[str]]:
    """Lines under `HEADING` for measures other than the relation's answers."""
    lines = []
    for g, group in enumerate(found.groups):
        for m, mode in enumerate(found.modes):
            for o, name in enumerate(found.others):
                value, low, high = found.other_effect[g, m, o]
                draws = found.other_random[g, m, : found.n_random(group), o]
                p = found.other_p[g, m, o]
                lines.append(
                    [
                        group,
                        "-",
                        mode,
                        _WHERE["all"],
                        f"{name}, change",
                        f"{found.other_base[o, 0]:.3f}",
                        f"{value:.3f} [{low:.3f}, {high:.3f}]",
                        f"{draws.mean():.3f}" if len(draws) else "none to compare",
                        "-" if np.isnan(p) else f"{p:.2g}",
                    ]
                )
    return lines


def notes(found: "AblationResult") -> list[str]:
    """What stands under the table."""
    named = [f"{g}: {', '.join(map(str, h))}." for g, h in found.groups.items()]
    said = [
        *named,
        f"{found.n_events[0]} events in {found.n_sequences[0]} sequences; intervals are 95% "
        "bootstrap over documents; p over "
        + ", ".join(f"{found.n_random(g)} random groups ({g})" for g in found.groups)
        + ", one-sided.",
        f"Heads chosen on: {found.chosen_on}.",
    ]
    rho = found.correlation[:, 0]
    if np.isfinite(rho[:, 0]).any():
        of = [
            f"{name} {r:.2f} (p {p:.2g}, n {n:.0f})"
            for name, (r, p, n) in zip(("attribution", "patching", "ablation"), rho, strict=True)
            if np.isfinite(r)
        ]
        said.append(f"Spearman of {found.score_name} and single-head effect: {'; '.join(of)}.")
    agreement = found.agreement()
    if np.isfinite(agreement):
        said.append(
            f"Attribution against exact patching ({found.corruption} exchanged): Spearman "
            f"{agreement:.2f}."
        )
    return [*said, *found.statements]


def as_text(found: "AblationResult") -> str:
    """The table and its notes, as wide as they are."""
    safe = [visible(note, limit=len(note)) for note in notes(found)]
    return text_table(HEADING, [*table(found), *others_table(found)], safe)


def as_html(found: "AblationResult") -> str:
    """The table and its notes for a notebook; every text escaped."""
    return html_table(HEADING, [*table(found), *others_table(found)], notes(found))
