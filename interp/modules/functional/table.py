"""Functional experts as a table: for a terminal, and for a page."""

from typing import TYPE_CHECKING

from interp.results.escape import visible
from interp.results.tables import html_table, text_table

if TYPE_CHECKING:
    from interp.modules.functional.experts import AgainstChance, FunctionalExperts, Rule


def table(found: "FunctionalExperts") -> tuple[list[str], list[list[str]]]:
    """Heading and lines: every function of every layer with its most enriched expert."""
    heading = [
        *("site", "function", "most enriched", "holds", "by chance", "p", "q"),
        *("odds ratio [95%]", "functional experts", "published rule"),
    ]
    lines = [
        _line(found, layer, function)
        for layer in range(len(found.layers))
        for function in range(len(found.functions))
    ]
    return heading, lines


def notes(found: "FunctionalExperts") -> list[str]:
    """What stands under the table: how much is functional, beside random partitions."""
    rules: dict[Rule, str] = {
        "fdr": f"at a false discovery rate of {found.fdr}",
        "published": f"by the published rule (p at most {found.alpha}, all neurons)",
    }
    said = [
        f"{layer.site}, {text}: {found.functions_with_an_expert(rule)[i]} of "
        f"{len(found.functions)} functions have an expert{_elsewhere(found, i, rule)}; share of "
        f"experts that are functional "
        f"{_beside(found.proportion(i, rule))}; degree {_beside(found.degree(i, rule))}."
        for i, layer in enumerate(found.layers)
        for rule, text in rules.items()
    ]
    return said + [
        f"{layer.site}: {layer.k} best of {layer.n_live:,} live neurons ({layer.n_units:,} in all) "
        f"for each function, experts made by {layer.partition}; the smallest p that can come out "
        f"is {found.min_p[i]:.2g}."
        for i, layer in enumerate(found.layers)
    ]


def as_text(found: "FunctionalExperts") -> str:
    """The table and its notes, as wide as they are."""
    return text_table(*table(found), [visible(note, limit=len(note)) for note in notes(found)])


def as_html(found: "FunctionalExperts") -> str:
    """The table and its notes for a notebook; every text escaped."""
    return html_table(*table(found), notes(found))


def _line(found: "FunctionalExperts", layer: int, function: int) -> list[str]:
    best = int(found.p[layer, function].argmin())
    ratio, low, high = found.odds_ratio()[layer, function, best]
    functional = (found.functional(rule)[layer, function].sum() for rule in ("fdr", "published"))
    return [
        found.layers[layer].site,
        found.functions[function],
        f"expert {best}",
        f"{found.counts[layer, function, best]} of {found.layers[layer].k}",
        f"{found.expected()[layer, best]:.2f}",
        f"{found.p[layer, function, best]:.2g}",
        f"{found.q[layer, function, best]:.2g}",
        f"{ratio:.1f} [{low:.1f}, {high:.1f}]",
        *(f"{n} of {found.n_experts}" for n in functional),
    ]


def _elsewhere(found: "FunctionalExperts", layer: int, rule: "Rule") -> str:
    """The same number in models that learnt nothing, where there are any."""
    row = ("fdr", "published").index(rule)
    said = [f"{name} {counts[row, layer]}" for name, counts in found.baseline.items()]
    return f" ({', '.join(said)})" if said else ""


def _beside(found: "AgainstChance") -> str:
    return f"{found.value:.3f} (random {found.null_mean:.4f}, p {found.p:.2g})"
