"""What made a figure, written into the figure."""

import json

import plotly.graph_objects as go

from interp.results.provenance import Provenance

_HASH_LENGTH = 12
_VALUE_LENGTH = 2000


def stamped(figure: go.Figure, provenance: Provenance) -> go.Figure:
    """A copy of `figure` with its provenance in `layout.meta`, which every export keeps."""
    copy = go.Figure(figure)
    return copy.update_layout(meta={"provenance": provenance.to_json()})


def provenance_facts(provenance: Provenance) -> dict[str, str]:
    """The provenance as named facts for a page: command, hashes, seed, settings, versions."""
    return {
        "command": provenance.command,
        "model": _short(provenance.model_hash),
        "corpus": _short(provenance.corpus_hash),
        "seed": "nothing random" if provenance.seed is None else str(provenance.seed),
        "settings": json.dumps(provenance.settings, sort_keys=True)[:_VALUE_LENGTH],
        "versions": ", ".join(f"{name} {value}" for name, value in provenance.versions.items()),
    }


def _short(digest: str | None) -> str:
    return "none took part" if digest is None else digest[:_HASH_LENGTH]
