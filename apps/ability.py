"""Abilities: where a mask lies against chance, and what transferring it does to other models."""

from pathlib import Path

import numpy as np
import streamlit as st
from frame import (
    chosen_entry,
    errors_in_place,
    heading,
    lead,
    note,
    open_study,
    show_provenance,
)

from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.mask_layout import MaskLayout, NeuronCounts, mask_layout, neuron_counts
from interp.evaluation.comparison import NOTE, Comparison
from interp.plots.ability import mask_grid, neuron_ranks, transfer_figure
from interp.plots.provenance import stamped
from interp.plots.tables import html_table
from interp.results.finding import HEADER
from interp.results.hashing import sha256_file
from interp.results.study import Study, StudyEntry

TOP_NEURONS = 20


@st.cache_data(max_entries=32, show_spinner="Counting the mask…")
def counted(path: str, digest: str) -> tuple[MaskLayout, NeuronCounts]:  # noqa: ARG001
    """Layout and neurons of a mask; `digest` is of its header, which holds its data's."""
    mask = NeuronMask.load(Path(path))
    return mask_layout(mask), neuron_counts(mask)


def show_table(entry: StudyEntry) -> None:
    """The transfer table: intervals plotted, the same tabulated, what the table supports."""
    comparison = Comparison.load(entry.path)
    figure = stamped(transfer_figure(comparison), comparison.provenance)
    st.plotly_chart(
        figure, theme=None, alt="Accuracy of each model with its 95% interval; the table follows"
    )
    st.html(html_table(*table_of(comparison), numbers=range(1, 2 + len(comparison.columns))))
    for statement in comparison.statements:
        note(statement)
    titles = {row.key: row.title for row in comparison.rows}
    held = titles.get(comparison.reference, comparison.reference)
    lead(f"{NOTE} Blue: {held}, which the tests hold against the rest.")
    show_tests(comparison)
    show_provenance(comparison.provenance)


def table_of(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the transfer table as text."""
    columns = ["model", *(column.title for column in comparison.columns), "entries changed"]
    cells = [
        [str(comparison.cell(row.key, column.key)) for column in comparison.columns]
        for row in comparison.rows
    ]
    shares = ["—" if np.isnan(share) else f"{share:.3f}" for share in comparison.share_changed]
    rows = [
        [row.title, *line, share]
        for row, line, share in zip(comparison.rows, cells, shares, strict=True)
    ]
    return columns, rows


def show_tests(comparison: Comparison) -> None:
    """The paired tests, folded."""
    with st.expander("Paired tests on the same items"):
        columns = ["against", "column", "difference", "right only one / other", "p (Holm)"]
        titles = {row.key: row.title for row in comparison.rows}
        heads = {column.key: column.title for column in comparison.columns}
        rows = [
            [
                titles.get(test.second, test.second),
                heads.get(test.column, test.column),
                str(test.difference),
                f"{test.only_first} / {test.only_second}",
                f"{test.p_holm:.2g}",
            ]
            for test in comparison.tests
        ]
        st.html(html_table(columns, rows, numbers=[2, 3, 4]))


def show_mask(entry: StudyEntry) -> None:
    """Where the mask lies: layers and tensor types, tensors outside, neurons."""
    mask = NeuronMask.load(entry.path, verify=False)
    layout, neurons = counted(str(entry.path), sha256_file(entry.path / HEADER))
    lead(
        f"{mask.count:,} of {mask.base.n:,} entries. If they lay at random among the entries that "
        f"were ranked, every cell would have a share of {layout.expected_share:.3f}: blue is less, "
        "red is more."
    )
    st.plotly_chart(
        stamped(mask_grid(layout), mask.provenance),
        theme=None,
        alt="Share of chosen entries by layer and tensor type; the table follows",
    )
    with st.expander("The same as a table, with the tensors outside the layers"):
        st.html(html_table(*layout_table(layout), numbers=[2, 3, 4, 5]))
    if neurons.layer.size:
        show_neurons(neurons, mask)
    show_provenance(mask.provenance)


def layout_table(layout: MaskLayout) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of every tensor's counts beside what chance gives."""
    cells = [
        (str(layer), kind, int(layout.chosen[row, column]), int(layout.ranked[row, column]))
        for row, layer in enumerate(layout.layers)
        for column, kind in enumerate(layout.kinds)
        if layout.ranked[row, column]
    ]
    cells += [("—", kind, chosen, ranked) for kind, (chosen, ranked) in layout.outside.items()]
    rows = [
        [
            layer,
            kind,
            f"{chosen:,}",
            f"{ranked * layout.expected_share:,.0f}",
            f"{ranked:,}",
            f"{chosen / ranked:.3f}" if ranked else "—",
        ]
        for layer, kind, chosen, ranked in cells
    ]
    return ["layer", "tensor type", "chosen", "by chance", "ranked", "share"], rows


def show_neurons(neurons: NeuronCounts, mask: NeuronMask) -> None:
    """The MLP neurons that hold more of the mask than chance gives."""
    heading("MLP neurons", level=3)
    above = int((neurons.p_holm < 0.05).sum())
    lead(
        f"{above:,} of {neurons.z.size:,} neurons hold more chosen weights than chance gives "
        "(5%, corrected for their number; chance keeps the count of every tensor)."
    )
    picture, table = st.columns([3, 2], gap="large")
    with picture:
        st.plotly_chart(
            stamped(neuron_ranks(neurons), mask.provenance),
            theme=None,
            alt="Neurons sorted by how far they exceed chance; the highest are in the table",
        )
    with table, st.container(height=370, border=False):
        st.html(html_table(*neuron_table(neurons), numbers=range(6)))


def neuron_table(neurons: NeuronCounts) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the neurons that exceed chance most."""
    order = np.argsort(-neurons.z, kind="stable")[:TOP_NEURONS]
    rows = [
        [
            str(neurons.layer[i]),
            str(neurons.neuron[i]),
            f"{neurons.chosen[i]:,}",
            f"{neurons.expected[i]:.1f}",
            f"{neurons.z[i]:.1f}",
            f"{neurons.p_holm[i]:.2g}",
        ]
        for i in order.tolist()
    ]
    return ["layer", "neuron", "chosen", "by chance", "sd above", "p (Holm)"], rows


def show(study: Study) -> None:
    """The whole page."""
    heading("Abilities")
    if not study.entries("mask") and not study.entries("comparison"):
        lead("This study holds no mask and no comparison. `interp ability locate` makes a mask.")
        return
    if study.entries("comparison"):
        heading("Does the ability arrive?", level=2)
        with errors_in_place("The comparison"):
            if entry := chosen_entry(study, "comparison", label="Comparison", key="comparison"):
                show_table(entry)
    if study.entries("mask"):
        heading("Where does it lie?", level=2)
        with errors_in_place("The mask"):
            if entry := chosen_entry(study, "mask", label="Mask", key="mask"):
                show_mask(entry)


show(open_study())
