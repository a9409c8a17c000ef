"""What every page shares: the study, text that is never markup, errors in place."""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from interp.plots.provenance import provenance_facts
from interp.plots.tables import facts, shown
from interp.results.errors import InterpError
from interp.results.provenance import Provenance
from interp.results.study import Kind, Study, StudyEntry, default_study

_STYLE = """
<style>
.block-container { max-width: 76rem; padding-top: 4.5rem; }
.interp-lead { color: #4b5563; font-size: 1.02rem; max-width: 46rem; margin: 0 0 .4rem; }
.interp-kind { color: #2166ac; font-size: .78rem; letter-spacing: .06em; font-weight: 600;
  text-transform: uppercase; }
[data-testid="stPageLink"] p { color: #2166ac; font-weight: 600; }
.interp-title { font-size: 1.12rem; font-weight: 600; overflow-wrap: anywhere; }
.interp-small { color: #4b5563; font-size: .88rem; overflow-wrap: anywhere; }
.interp-error { border-left: 4px solid #b2182b; background: #fdf2f2; color: #7f1d1d;
  padding: .6rem .9rem; border-radius: .25rem; overflow-wrap: anywhere; }
.interp-note { border-left: 4px solid #2166ac; background: #f0f6fb; color: #1e3a5f;
  padding: .6rem .9rem; border-radius: .25rem; overflow-wrap: anywhere; }
</style>
"""


def open_study() -> Study:
    """The study this server was started on; where there is none, the page says how to make one."""
    st.html(_STYLE)
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default_study()
    try:
        return Study.open(path)
    except (InterpError, OSError) as error:
        heading("No study to show")
        problem(str(error))
        if len(sys.argv) == 1:
            st.html("<p>Make the demo study, about two minutes, and reload this page:</p>")
            st.code("interp demo", language="bash")
        st.stop()


def heading(text: str, *, level: int = 1) -> None:
    """A heading of plain text, whatever characters it holds."""
    style = "padding:.3rem 0;margin:0;overflow-wrap:anywhere"
    st.html(f'<h{level} style="{style}">{shown(text)}</h{level}>')


def lead(text: str) -> None:
    """A paragraph of plain text under a heading."""
    st.html(f'<p class="interp-lead">{shown(text)}</p>')


def note(text: str) -> None:
    """A conclusion, "what: this; that": what it is about in bold, each part on a line."""
    head, _, rest = text.partition(": ")
    parts = "".join(f"<li>{shown(part, limit=2000)}</li>" for part in rest.split("; ") if part)
    st.html(
        f'<div class="interp-note" role="note"><strong>{shown(head)}</strong>'
        f"<ul style='margin:.2rem 0 0;padding-left:1.2rem'>{parts}</ul></div>"
    )


def problem(text: str) -> None:
    """An error in place."""
    st.html(f'<div class="interp-error" role="alert">{shown(text, limit=2000)}</div>')


@contextmanager
def errors_in_place(what: str) -> Iterator[None]:
    """Show an unreadable finding as an error where it would stand; the rest of the page lives."""
    try:
        yield
    except (InterpError, OSError) as error:
        logging.getLogger("interp.explorer").warning("%s: %r", what, error)
        problem(f"{what} cannot be shown: {error}")


def show_provenance(provenance: Provenance, *, label: str = "What made this") -> None:
    """The provenance, folded."""
    with st.expander(label):
        st.html(facts(provenance_facts(provenance)))


def chosen_entry(study: Study, kind: Kind, *, label: str, key: str) -> StudyEntry | None:
    """The finding of one kind that the reader, or the address, has chosen; None without any."""
    entries = {entry.id: entry for entry in study.entries(kind)}
    if not entries:
        return None
    options = list(entries)
    id = st.selectbox(
        label,
        options,
        key=key,
        bind="query-params",
        width=420,
    )
    entry = entries[id]
    st.html(f'<div class="interp-title">{shown(entry.title)}</div>')
    return entry


def chosen_number(label: str, low: int, high: int, *, key: str, usual: int | None = None) -> int:
    """A whole number that the reader, or the address, has chosen; `usual`, or `low`, before."""
    # Streamlit fails on a number in the address that is too long to be one, and keeps the address
    # a session began with; so such a session leaves this number out of its address.
    unbound = f"{key}-unbound"
    if not re.fullmatch(r"-?\d{1,15}", st.query_params.get(key, "0")):
        del st.query_params[key]
        st.session_state[unbound] = True
    start = low if usual is None else usual
    bind = None if unbound in st.session_state else "query-params"
    return int(
        st.number_input(f"{label} ({low} to {high})", low, high, start, step=1, key=key, bind=bind)
    )
