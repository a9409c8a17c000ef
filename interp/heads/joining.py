"""One HeadScores of several: their columns side by side."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from interp.heads.scores import ARRAYS, HeadScores
from interp.results.errors import Mismatch
from interp.results.hashing import sha256_json
from interp.results.provenance import Provenance


def joined(several: Sequence[HeadScores]) -> HeadScores:
    """One finding with the columns of all; p stays corrected within each detector.

    Every column keeps the hash of what the model was fed for it. Raises Mismatch for other models,
    BadInput for the same column twice.
    """
    several = [_fed(s) for s in several]
    if len(several) == 1:
        return several[0]
    models = {(s.score.shape[:2], s.provenance.model_hash) for s in several}
    if len(models) != 1:
        raise Mismatch(f"findings of {len(models)} models: join those of one")
    extras = list(dict.fromkeys(name for s in several for name in s.extras))
    return HeadScores(
        columns=tuple(column for s in several for column in s.columns),
        **{name: np.concatenate([getattr(s, name) for s in several], axis=2) for name in ARRAYS},
        extras={
            name: np.concatenate(
                [s.extras.get(name, np.full_like(s.score, np.nan)) for s in several], axis=2
            )
            for name in extras
        },
        notes={name: note for s in several for name, note in s.notes.items()},
        settings={name: value for s in several for name, value in s.settings.items()},
        documents={fed: values for s in several for fed, values in s.documents.items()},
        provenance=_joined_provenance(several),
    )


def _fed(scores: HeadScores) -> HeadScores:
    """With the hash of what was fed in each column: that of the whole is of several corpora."""
    own = scores.provenance.corpus_hash
    columns = (replace(c, corpus_hash=c.corpus_hash or own) for c in scores.columns)
    return replace(scores, columns=tuple(columns))


def _joined_provenance(several: Sequence[HeadScores]) -> Provenance:
    all_of = [s.provenance for s in several]
    corpora = sorted({p.corpus_hash for p in all_of if p.corpus_hash is not None})
    seeds = {p.seed for p in all_of}
    return Provenance(
        command=all_of[0].command,
        model_hash=all_of[0].model_hash,
        corpus_hash=corpora[0] if len(corpora) == 1 else sha256_json(corpora) if corpora else None,
        seed=seeds.pop() if len(seeds) == 1 else None,
        versions=all_of[0].versions,
        settings={"parts": [{"command": p.command, "seed": p.seed, **p.settings} for p in all_of]},
    )
