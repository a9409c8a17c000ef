"""Selectivity tells a label that is in the context from one that a probe learns word by word."""

from pathlib import Path

import numpy as np

from interp.capture.store import ActivationStore
from probes.linear import fit_probes
from tests.probes.linear.stores import written

N_TYPES, N_DOCUMENTS, LENGTH = 30, 120, 20
IDENTITY, CONTEXT = "identity", "context"


def made(path: Path) -> ActivationStore:
    """One site holds which word it is, another a bit that does not depend on the word."""
    rng = np.random.default_rng(0)
    n = N_DOCUMENTS * LENGTH
    token = rng.integers(0, N_TYPES, n)
    bit = rng.integers(0, 2, n)
    labels = {"word_class": token % 2, "bit": bit}
    noise = rng.standard_normal((n, 4))
    return written(
        path,
        {IDENTITY: np.eye(N_TYPES)[token], CONTEXT: noise + 8 * bit[:, None]},
        labels,
        document=np.repeat(np.arange(N_DOCUMENTS), LENGTH),
        token=token,
    )


def test_what_is_learnt_word_by_word_has_no_selectivity_and_what_is_in_the_context_has(
    tmp_path: Path,
) -> None:
    store = made(tmp_path / "store")
    by_heart = fit_probes(store, sites=[IDENTITY], label="word_class")
    assert by_heart.cell("accuracy", IDENTITY).value == 1.0
    assert by_heart.cell("selectivity", IDENTITY).value == 0.0
    read_off = fit_probes(store, sites=[CONTEXT], label="bit")
    assert read_off.cell("accuracy", CONTEXT).value > 0.99
    assert read_off.cell("selectivity", CONTEXT).low > 0.3
    assert read_off.seen_types == 1.0


def test_without_the_control_there_is_no_selectivity(tmp_path: Path) -> None:
    found = fit_probes(made(tmp_path / "store"), sites=[CONTEXT], label="bit", control=False)
    assert np.isnan(found.selectivity).all()
    assert "selectivity" not in found.table()[0]
