"""View: one unit of a store over all its rows, read once and kept while nothing changes."""

from pathlib import Path

import numpy as np
import streamlit as st

from interp.capture.header import HEADER
from interp.capture.manifest import MANIFEST
from interp.capture.store import ActivationStore
from interp.capture.units import UnitMoments, n_units, unit_moments, unit_values
from interp.plots.colors import symmetric_limit
from interp.results.hashing import sha256_file

MAX_VALUES = 1 << 27
"""Activations read at most for a page; of larger stores the first rows, and the page says so."""
FULL_COLOUR = 0.995
"""Share of rows whose activation stays below full colour: a few outliers must not fade the rest."""
ACTIVATION, DISTANCE = "activation", "sd from its mean"
SCALES = (ACTIVATION, DISTANCE)


@st.cache_resource(max_entries=4, show_spinner=False)
def vocabulary(path: str, digest: str | None) -> list[str] | None:  # noqa: ARG001
    """Token strings of a store, read once; `digest` is theirs."""
    return ActivationStore.open(Path(path)).vocabulary


@st.cache_data(max_entries=16, show_spinner="Reading the site…")
def moments(path: str, digest: str, site: str, max_rows: int) -> UnitMoments:  # noqa: ARG001
    """Moments of a site; `digest` is of the store's header and manifest."""
    with ActivationStore.open(Path(path)) as store:
        return unit_moments(store, site, max_rows=max_rows)


@st.cache_data(max_entries=64, show_spinner="Reading the unit…")
def values_of(
    path: str,
    digest: str,  # noqa: ARG001
    site: str,
    unit: int,
    max_rows: int,
) -> np.ndarray:
    """One unit over the rows read; `digest` is of the store's header and manifest."""
    with ActivationStore.open(Path(path)) as store:
        return unit_values(store, site, unit, max_rows=max_rows)


def store_digest(path: Path) -> str:
    """What the cache hangs on: header and manifest name every byte of a store."""
    return sha256_file(path / HEADER) + sha256_file(path / MANIFEST)


class View:
    """The unit that the reader chose, with all that the parts of the page need of it."""

    def __init__(self, store: ActivationStore, site: str, unit: int, scale: str) -> None:
        self.store, self.site, self.unit, self.scale = store, site, unit, scale
        max_rows = max(MAX_VALUES // max(n_units(store, site), 1), 1)
        key = (str(store.path), store_digest(store.path), site)
        self.moments = moments(*key, max_rows)
        self.raw = values_of(*key, unit, max_rows)
        self.tokens = vocabulary(str(store.path), store.header.vocabulary_sha256)
        self.mean, self.sd = float(self.moments.mean[unit]), float(self.moments.sd[unit])
        finite = self.scaled(self.raw[np.isfinite(self.raw)])
        self.limit = symmetric_limit(
            np.quantile(np.abs(finite), [FULL_COLOUR] if finite.size else [])
        )

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Activations on the scale chosen."""
        if self.scale == ACTIVATION:
            return values.astype(np.float64)
        return (values - self.mean) / (self.sd if self.sd > 0 else 1.0)

    def at(self, rows: np.ndarray) -> np.ndarray:
        """The unit's activation at `rows`, on the scale chosen."""
        found = self.store.rows_at(self.site, rows)
        return self.scaled(found.reshape(len(rows), -1)[:, self.unit])

    def colored(self, rows: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Token strings and values of rows that follow one another."""
        start = int(rows[0])
        ids = self.store.column("token", start, int(rows[-1]) + 1)
        return self.text_of(ids[rows - start]), self.at(rows)

    def texts(self, start: int, stop: int) -> list[str]:
        """Token strings of rows, or ids where the model has no tokenizer."""
        return self.text_of(self.store.column("token", start, stop))

    def text_of(self, ids: np.ndarray) -> list[str]:
        """Strings of token ids."""
        known = self.tokens
        if known is None:
            return [f"#{id}" for id in ids.tolist()]
        return [known[id] if 0 <= id < len(known) else f"#{id}" for id in ids.tolist()]
