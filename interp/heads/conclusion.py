"""Conclusions: from what a detector saw and what its null gave to HeadScores, alike for all."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from interp.heads.columns import Column
from interp.heads.detector import Detector, Family, Scoring
from interp.heads.scores import HeadScores
from interp.heads.significance import (
    relabelled_means,
    sequence_bootstrap,
    significance,
    smallest_p,
)


def concluded(
    detector: Detector,
    scoring: Scoring,
    *,
    observed: Float[np.ndarray, "layers heads columns"],
    draws: Float[np.ndarray, "draws layers heads columns"],
    columns: Sequence[Column] | None = None,
    interval: Float[np.ndarray, "2 layers heads columns"] | None = None,
    n_events: Float[np.ndarray, "layers heads columns"] | float = np.nan,
    n_sequences: Float[np.ndarray, "layers heads columns"] | float = np.nan,
    extras: dict[str, Float[np.ndarray, "layers heads columns"]] | None = None,
    notes: dict[str, dict[str, Any]] | None = None,
    settings: dict[str, Any] | None = None,
    more_draws: str = "more draws",
) -> HeadScores:
    """The scores of one detector, all its heads and columns one family; keeps its draws.

    A head with an undefined draw is not tested. Where the draws are too few for p to be much below
    .05, the notes of every column say so and that `more_draws` would help.
    """
    scoring.families[detector.name] = Family(observed, draws)
    found = significance(observed, draws)
    ends = np.full((2, *observed.shape), np.nan) if interval is None else interval
    columns = tuple(columns or [detector.column()])
    floor = smallest_p(len(draws), more=more_draws)
    if floor:
        notes = {c.name: {**(notes or {}).get(c.name, {}), **floor} for c in columns}
    return HeadScores(
        columns=columns,
        score=np.where(np.isnan(found.p), np.nan, observed),
        null_mean=found.null_mean,
        null_sd=found.null_sd,
        z=found.z,
        p=found.p,
        p_adj=found.p_adj,
        q=found.q,
        ci_low=ends[0],
        ci_high=ends[1],
        n_events=np.broadcast_to(np.asarray(n_events, float), observed.shape).copy(),
        n_sequences=np.broadcast_to(np.asarray(n_sequences, float), observed.shape).copy(),
        provenance=scoring.provenance(detector.inputs, **(settings or {})),
        extras=extras or {},
        notes=notes or {},
        settings={detector.name: settings or {}},
    )


def concluded_by_sequence(
    detector: Detector,
    scoring: Scoring,
    *,
    values: Float[np.ndarray, "sequences labels layers heads columns"],
    columns: Sequence[Column] | None = None,
    n_events: float = np.nan,
    extras: dict[str, Float[np.ndarray, "layers heads columns"]] | None = None,
    notes: dict[str, dict[str, Any]] | None = None,
    settings: dict[str, Any] | None = None,
) -> HeadScores:
    """Of a detector whose score is a mean over sequences and whose null is another label in each.

    `values[:, 0]` is under the true labels, the others under control labels as likely a priori; a
    draw takes one of them in every sequence, the same for all heads.
    """
    n, n_labels, *shape = values.shape
    flat = values.reshape(n, n_labels, -1)
    draws = relabelled_means(flat, draws=scoring.draws, rng=scoring.rng(f"{detector.name}/null"))
    ends = sequence_bootstrap(
        flat[:, 0], draws=scoring.bootstrap, rng=scoring.rng(f"{detector.name}/bootstrap")
    )
    return concluded(
        detector,
        scoring,
        observed=flat[:, 0].mean(axis=0).reshape(shape),
        draws=draws.reshape(-1, *shape),
        columns=columns,
        interval=ends.reshape(2, *shape),
        n_events=n_events,
        n_sequences=float(n),
        extras=extras,
        notes=notes,
        settings=settings,
    )


def concluded_by_token(
    detector: Detector,
    scoring: Scoring,
    *,
    by_block: Float[np.ndarray, "blocks labels layers heads"],
    by_sequence: Float[np.ndarray, "sequences layers heads"],
    columns: Sequence[Column] | None = None,
    notes: dict[str, dict[str, Any]] | None = None,
    settings: dict[str, Any] | None = None,
) -> HeadScores:
    """Of a detector whose score is a sum over tokens and whose null is another token for each.

    `by_block[:, 0]` is the part of the score that comes of each block of tokens, the others what it
    would be with other tokens in their place; a draw takes one of them for every block, the same
    for all heads, so that a token that recurs in many sequences is exchanged in all of them.
    `by_sequence` has the same score as its mean over sequences, NaN where one says nothing.
    """
    n_blocks, n_labels, *shape = by_block.shape
    flat = by_block.reshape(n_blocks, n_labels, -1)
    rng = scoring.rng(f"{detector.name}/null")
    draws = n_blocks * relabelled_means(flat, draws=scoring.draws, rng=rng)
    ends = sequence_bootstrap(
        np.nan_to_num(by_sequence).reshape(len(by_sequence), -1),
        draws=scoring.bootstrap,
        rng=scoring.rng(f"{detector.name}/bootstrap"),
        weights=(~np.isnan(by_sequence)).reshape(len(by_sequence), -1).astype(float),
    )
    known = (~np.isnan(by_sequence)).sum(axis=0)
    return concluded(
        detector,
        scoring,
        observed=by_block[:, 0].sum(axis=0)[..., None],
        draws=draws.reshape(-1, *shape, 1),
        columns=columns,
        interval=ends.reshape(2, *shape, 1),
        n_sequences=known[..., None].astype(float),
        notes=notes,
        settings={"blocks_of_tokens": n_blocks, **(settings or {})},
    )
