"""A store of another model beside a model's own: what it is called, and what it must not be."""

from pathlib import Path

from interp.capture.store import ActivationStore
from interp.results.errors import Mismatch


def baseline_name(store: ActivationStore, path: Path | str | None = None) -> str:
    """`random weights SEED` where the store was captured with them, or else its path."""
    drawn = store.provenance.settings.get("random_weights")
    return str(path or store.path) if drawn is None else f"random weights {drawn}"


def refuse_baseline(store: ActivationStore, baseline: ActivationStore) -> None:
    """Raise Mismatch where a baseline is of another text, or of the very model it stands beside."""
    if baseline.provenance.corpus_hash != store.provenance.corpus_hash:
        raise Mismatch(
            f"{baseline.path} is of another text than {store.path}: capture the baseline over the "
            "same corpus with the same options"
        )
    own = store.provenance.model_hash
    if own is not None and baseline.provenance.model_hash == own:
        raise Mismatch(
            f"{baseline.path} is of the same weights as {store.path}: capture it with "
            "--random-weights SEED"
        )
