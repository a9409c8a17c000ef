"""Pattern heads: how well a head's attention matches a matrix of where it should look."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.heads.attention.batch import HeadBatch
from interp.heads.attention.matching import (
    NAMED,
    Measure,
    Rows,
    detection_matrix,
    entries_of,
    matched,
    row_permutations,
)
from interp.heads.attention.reading import LayerView
from interp.heads.conclusion import concluded
from interp.heads.detector import Detector, Scoring
from interp.heads.scores import HeadScores
from interp.heads.significance import sequence_bootstrap
from interp.results.errors import BadInput

CONTROLS = 99


class PatternObserver:
    """Matches a matrix of the user, or one that TransformerLens's detect_head makes of tokens."""

    needs = frozenset({"pattern"})

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring
        self._wanted = _wanted(scoring.options.get("pattern"), scoring.lengths["text"])
        self._measure: Measure = scoring.options.get("measure") or "mul"
        self._rows: Rows = scoring.options.get("rows") or "eligible"
        if self._measure not in ("mul", "abs") or self._rows not in ("eligible", "all"):
            raise BadInput(
                f"measure {self._measure!r} over rows {self._rows!r}: give mul or abs, eligible or "
                "all"
            )
        self._orders = row_permutations(
            scoring.lengths["text"], CONTROLS, scoring.rng("pattern/null")
        )
        self._placed: tuple[Tensor, ...] | None = None
        self._kept = np.zeros(0, bool)
        self._layers: list[Tensor] = []
        self._blocks: list[Float[np.ndarray, "batch labels layers heads"]] = []
        self._n_events = 0

    def see(self, view: LayerView) -> None:
        """One layer against the matrix and its permutations."""
        if self._placed is None:
            self._placed = self._place(view.batch, view.pattern.device)
        query, key, value, n_rows = self._placed
        found = matched(
            view.pattern, query, key, value.to(view.pattern), n_rows, measure=self._measure
        )
        self._layers.append(found)

    def end_batch(self, batch: HeadBatch, *, final_scale: Tensor | None) -> None:  # noqa: ARG002
        """Keep the sequences of which the matrix says something."""
        by_layer = torch.stack(self._layers, dim=2).transpose(1, 3)
        self._blocks.append(by_layer.double().cpu().numpy()[self._kept])
        self._layers, self._placed = [], None

    def finish(self) -> HeadScores:
        """Scores, the null of permuted rows, intervals over sequences."""
        values = np.concatenate(self._blocks)
        n, _, *shape = values.shape
        if n == 0:
            raise BadInput("no sequence has an entry of the pattern: nothing can be matched")
        means = values.mean(axis=0)[..., None]
        rng = self._scoring.rng("pattern/bootstrap")
        draws = self._scoring.bootstrap
        ends = sequence_bootstrap(values[:, 0].reshape(n, -1), draws=draws, rng=rng)
        low, unit = (0.0, DETECTOR.unit) if self._measure == "mul" else (-1.0, "agreement")
        return concluded(
            DETECTOR,
            self._scoring,
            columns=[DETECTOR.column(low=low, unit=unit)],
            observed=means[0],
            draws=means[1:],
            interval=ends.reshape(2, *shape, 1),
            n_events=float(self._n_events),
            n_sequences=float(n),
            settings={
                "pattern": self._wanted if isinstance(self._wanted, str) else "a matrix",
                "measure": self._measure,
                "rows": self._rows,
            },
        )

    def _place(self, batch: HeadBatch, device: torch.device) -> tuple[Tensor, ...]:
        n_pos = batch.tokens.shape[1]
        if isinstance(self._wanted, str):
            matrix = detection_matrix(self._wanted, batch.tokens)
        else:
            matrix = self._wanted[None, :n_pos, :n_pos]
        found = entries_of(
            matrix, is_query=batch.is_query, mask=batch.attention_mask, rows=self._rows
        )
        self._kept = (found.value != 0).any(axis=1)
        self._n_events += int(found.n_rows.sum())
        moved = self._orders[:, found.query, found.key].transpose(1, 0, 2)
        key = np.concatenate([found.key[:, None], moved], axis=1)
        query = np.broadcast_to(found.query[:, None], key.shape)
        arrays = (query, key, found.value, found.n_rows.astype(np.float32))
        return tuple(torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in arrays)


def _wanted(asked: object, length: int) -> str | Float[np.ndarray, "pos pos"]:
    if isinstance(asked, str) and asked in NAMED:
        return asked
    if isinstance(asked, str | Path):
        if not Path(asked).is_file():
            raise BadInput(
                f"pattern {asked}: neither a file nor a head of detect_head; give a .npy of "
                f"queries by keys, or {', '.join(NAMED)}"
            )
        try:
            asked = np.load(Path(asked), allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BadInput(
                f"pattern {asked}: {error}; give a .npy of queries by keys, or {', '.join(NAMED)}"
            ) from error
    if not isinstance(asked, np.ndarray):
        raise BadInput(f"pattern needs a matrix (--pattern): a .npy, or {', '.join(NAMED)}")
    square = asked.ndim == 2 and asked.shape[0] == asked.shape[1] >= length
    if not square or np.triu(asked, 1).any() or not np.isfinite(asked).all():
        raise BadInput(
            f"a pattern of shape {asked.shape}: expected a finite lower triangular matrix of at "
            f"least {length} queries by as many keys"
        )
    return asked.astype(np.float64)


DETECTOR = Detector(
    name="pattern",
    version=1,
    definition="share of a head's attention on the entries of a detection matrix",
    source="TransformerLens head_detector, measures mul and abs",
    unit="share of attention",
    needs=frozenset({"attention"}),
    inputs="text",
    low=0.0,
    high=1.0,
    chance="the same values on random keys of each query",
    null="the keys of every row of the matrix permuted, all sequences alike",
    observe=PatternObserver,
    only_named=True,
    options=("pattern", "measure", "rows"),
)
