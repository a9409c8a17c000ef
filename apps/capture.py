"""Activations: tokens coloured by one unit, and the contexts in which it is strongest."""

from collections.abc import Iterable
from contextlib import suppress

import numpy as np
import streamlit as st
from frame import (
    chosen_entry,
    chosen_number,
    errors_in_place,
    heading,
    lead,
    open_study,
    show_provenance,
)
from unit_view import SCALES, View

from interp.capture.store import ActivationStore
from interp.capture.units import (
    QUANTILES,
    context_rows,
    expected_reach,
    n_units,
    strongest_rows,
)
from interp.plots.capture import unit_histogram
from interp.plots.provenance import stamped
from interp.plots.tables import html_table
from interp.plots.tokens import Context, context_table, scale_legend, token_strip, token_text
from interp.results.errors import BadInput
from interp.results.study import Study, StudyEntry

MAX_TOKENS = 1024
MAX_DOCUMENTS = 40
USUAL_TOKENS = 80
N_CONTEXTS = 12
CONTEXT = 12
STANDING_OUT = 20


def choose(store: ActivationStore) -> View:
    """Site, unit and scale, from the controls or the address."""
    site_box, unit_box, scale_box = st.columns([3, 1, 2])
    with site_box:
        site = st.selectbox("Site", store.sites, key="site", bind="query-params")
    last = n_units(store, site) - 1
    with unit_box:
        unit = chosen_number("Unit", 0, last, key="unit")
    with scale_box:
        scale = st.selectbox("Colour by", SCALES, key="scale", bind="query-params")
    if len(shape := store.shape(site)) > 1:
        place = tuple(int(index) for index in np.unravel_index(unit, shape))
        lead(f"Rows have the shape {shape}; unit {unit} is {place}.")
    return View(store, site, unit, scale)


def show_documents(view: View) -> None:
    """Some documents, each token coloured, with the numbers in a table beside."""
    heading("In the text", level=2)
    spans = [entry.documents for entry in view.store.manifest.shards if entry.rows]
    first, last = min(low for low, _ in spans), max(high for _, high in spans)
    each = max(view.store.n_rows // (last - first + 1), 1)
    document_box, count_box, legend_box = st.columns([1, 1, 3], vertical_alignment="bottom")
    with document_box:
        document = chosen_number("Document", first, last, key="document")
    with count_box:
        usual = min(max(USUAL_TOKENS // each, 1), MAX_DOCUMENTS)
        count = chosen_number("How many", 1, MAX_DOCUMENTS, key="count", usual=usual)
    with legend_box:
        st.html(scale_legend(view.limit, unit=view.scale))
    strip, table = st.columns([3, 2], gap="large")
    with errors_in_place("The text"):
        numbers = range(document, min(document + count, last + 1))
        found = documents_rows(view.store, numbers)
        with strip:
            st.html("".join(token_strip(*view.colored(rows), limit=view.limit) for rows in found))
        with table:
            show_numbers(view, np.concatenate(found))


def documents_rows(store: ActivationStore, numbers: Iterable[int]) -> list[np.ndarray]:
    """The rows of each document that has any, MAX_TOKENS of them at most."""
    found, left = [], MAX_TOKENS
    for number in numbers:
        with suppress(BadInput):  # documents of which no row was stored
            rows = store.document_rows(number)[:left]
            found.append(rows)
            left -= len(rows)
        if left == 0:
            break
    if not found:
        raise BadInput("no row of these documents was stored: choose another")
    return found


def show_numbers(view: View, rows: np.ndarray) -> None:
    """What is coloured, as a table."""
    texts, values = view.colored(rows)
    if len(rows) == MAX_TOKENS:
        lead(f"The first {MAX_TOKENS:,} tokens.")
    st.dataframe(
        {
            "row": rows,
            "token": [f'"{token_text(text)}"' for text in texts],
            view.scale: values.round(3),
        },
        hide_index=True,
        height=min(36 * (len(rows) + 1), 330),
        alt="Every token shown, with its value",
    )


def show_contexts(view: View) -> None:
    """The sequences in which the unit is strongest, beside what it does on average."""
    heading("Where it is strongest", level=2)
    sign = st.segmented_control(
        "Strongest", ["highest", "lowest"], default="highest", key="side", bind="query-params"
    )
    ordered = -view.raw if sign == "lowest" else view.raw
    sequence = view.store.column("sequence", 0, len(view.raw))
    found = strongest_rows(ordered, sequence, k=N_CONTEXTS)
    lead(
        f"The {sign or 'highest'} row of each sequence, over {len(view.raw):,} of "
        f"{view.store.n_rows:,} rows. Its mean is {view.mean:.3g}, its standard deviation "
        f"{view.sd:.3g}: the last column says how unusual a value is for this unit."
    )
    columns = ("activation", "sd from mean", "row")
    contexts = [context_of(view, row) for row in found.tolist()]
    st.html(context_table(contexts, columns=columns, limit=view.limit))


def context_of(view: View, row: int) -> Context:
    """The tokens around a row, its activation, and how unusual that is."""
    start, stop = context_rows(view.store, row, width=CONTEXT)
    value = float(view.raw[row])
    distance = (value - view.mean) / view.sd if view.sd > 0 else 0.0
    return Context(
        tokens=view.texts(start, stop),
        values=view.at(np.arange(start, stop)),
        marked=row - start,
        numbers=(f"{value:.3g}", f"{distance:+.1f}", f"{row:,}"),
    )


def show_spread(view: View) -> None:
    """The null of everything above: how the unit is spread over all rows."""
    heading("Over all rows", level=2)
    picture, table = st.columns([3, 2], gap="large")
    with picture:
        figure = stamped(unit_histogram(view.raw), view.store.provenance)
        st.plotly_chart(
            figure, theme=None, alt="Histogram of the unit's activation; quantiles in the table"
        )
    with table:
        rows = [
            [f"{share:.0%}", f"{value:.3g}"]
            for share, value in zip(QUANTILES, np.quantile(view.raw, QUANTILES), strict=True)
        ]
        st.html(html_table(["share of rows at or below", "activation"], rows, numbers=[0, 1]))


def show_units(view: View) -> None:
    """The units of the site whose furthest row is most unusual for them."""
    found = view.moments
    yardstick = expected_reach(found.n_rows)
    with st.expander(f"Which units of {view.site} stand out?"):
        lead(
            "Units by how far their most unusual row lies from their own mean. As many normal "
            f"draws would reach about {yardstick:.1f} sd."
        )
        order = np.argsort(-found.reach, kind="stable")[:STANDING_OUT]
        rows = [
            [
                str(unit),
                f"{found.mean[unit]:.3g}",
                f"{found.sd[unit]:.3g}",
                f"{found.low[unit]:.3g}",
                f"{found.high[unit]:.3g}",
                f"{found.reach[unit]:.1f}",
            ]
            for unit in order.tolist()
        ]
        columns = ["unit", "mean", "sd", "lowest", "highest", "furthest, in sd"]
        st.html(html_table(columns, rows, numbers=range(6)))


def show_store(entry: StudyEntry) -> None:
    """Everything about one store."""
    with ActivationStore.open(entry.path) as store:
        state = "" if store.is_complete else " The run that writes it has not ended."
        lead(f"{store.n_rows:,} rows, one a token, at {len(store.sites)} sites.{state}")
        if store.n_rows == 0:
            return
        view = choose(store)
        show_units(view)
        show_documents(view)
        with errors_in_place("The contexts"):
            show_contexts(view)
        with errors_in_place("The spread"):
            show_spread(view)
        show_provenance(store.provenance)


def show(study: Study) -> None:
    """The whole page."""
    heading("Activations")
    if not study.entries("store"):
        lead("This study holds no activations. `interp capture` records some.")
        return
    with errors_in_place("The store"):
        if entry := chosen_entry(study, "store", label="Store", key="store"):
            show_store(entry)


show(open_study())
