"""Overview: what the study holds, what each finding is, and what made it."""

import streamlit as st
from frame import chosen_number, errors_in_place, heading, lead, open_study, show_provenance

from interp.abilities.masks.mask import NeuronMask
from interp.abilities.moving.weights import AbilityWeights
from interp.capture.store import ActivationStore
from interp.evaluation.comparison import Comparison
from interp.plots.tables import shown
from interp.results.study import Study, StudyEntry

WHAT_IT_IS = {
    "model": "A model's directory, which opens in transformers.",
    "store": "Activations of a model on a text: one row a token, for each site recorded.",
    "mask": "The entries of a model's weights in which an ability was located.",
    "ability": "An ability's weights: what is added to another model to give it the ability.",
    "comparison": "Accuracy of several models on the same items, with 95% intervals.",
    "report": "A written report.",
}
A_PAGE = 24
PAGES = {
    "store": ("capture.py", "Look at its activations", "store"),
    "mask": ("ability.py", "Look at where it lies", "mask"),
    "comparison": ("ability.py", "Look at the table", "comparison"),
}


def in_short(entry: StudyEntry) -> str:
    """One line of numbers about a finding."""
    if entry.kind == "store":
        store = ActivationStore.open(entry.path)
        return f"{store.n_rows:,} rows at {len(store.sites)} sites"
    if entry.kind == "mask":
        mask = NeuronMask.load(entry.path, verify=False)
        return f"{mask.count:,} of {mask.base.n:,} entries, a share of {mask.share:.3f}"
    if entry.kind == "ability":
        weights = AbilityWeights.load(entry.path, verify=False)
        return f"{weights.count:,} entries in {len(weights.tensors)} tensors"
    if entry.kind == "comparison":
        comparison = Comparison.load(entry.path)
        return f"{len(comparison.rows)} models on {len(comparison.item_ids):,} items"
    return ""


def show_entry(entry: StudyEntry) -> None:
    """A card: kind, title, what it is, its numbers, the page that shows it."""
    with st.container(border=True, height="stretch"):
        st.html(
            f'<div class="interp-kind">{shown(entry.kind)}</div>'
            f"<div class='interp-title'>{shown(entry.title)}</div>"
            f'<div class="interp-small">{WHAT_IT_IS[entry.kind]}</div>'
        )
        with errors_in_place(entry.id):
            numbers = in_short(entry)
            st.html(f'<div class="interp-small"><code>{entry.id}</code> {shown(numbers)}</div>')
            if entry.kind in PAGES:
                page, label, key = PAGES[entry.kind]
                st.page_link(page, label=label, query_params={key: entry.id})


def on_this_page(entries: list[StudyEntry]) -> list[StudyEntry]:
    """The findings to show: all, or a page of them that the reader turns."""
    n_pages = -(-len(entries) // A_PAGE)
    if n_pages < 2:
        return entries
    lead(f"{len(entries):,} findings, {A_PAGE} a page.")
    page = chosen_number("Page", 1, n_pages, key="page")
    return entries[(page - 1) * A_PAGE : page * A_PAGE]


def show(study: Study) -> None:
    """The whole page."""
    heading(study.title)
    lead("A study: findings about models, each a directory with its own numbers and provenance.")
    entries = on_this_page(study.entries())
    for start in range(0, len(entries), 3):
        for column, entry in zip(st.columns(3), entries[start : start + 3], strict=False):
            with column:
                show_entry(entry)
    if not entries:
        lead("This study is empty. Fill it with `Study.add`, or make the demo with `interp demo`.")
    show_provenance(study.provenance, label="What made this study")
    st.html(f'<div class="interp-small">Read from <code>{shown(str(study.path))}</code></div>')


show(open_study())
