"""Copy suppression on a text: of the tokens a head attends to, how many it lowers most of all."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from torch import Tensor

from interp.heads.attention import LayerView
from interp.heads.attention.batch import HeadBatch
from interp.heads.conclusion import concluded_by_sequence
from interp.heads.detector import Detector, Scoring
from interp.heads.scores import HeadScores
from interp.heads.weights.low_rank import among_lowest
from interp.heads.weights.shared import circuits_of, k_of
from interp.heads.writing.observers import over_defined
from interp.heads.writing.sources import AttendedSources

ATTENTION = 0.1
"""A pair counts from so much attention on."""
LEAST = 10
"""Sequences with a pair that counts, for a head to be tested."""


class SuppressedSources:
    """Reads the sources of a text and asks of each whether the head lowers it."""

    needs: frozenset[str] | set[str] = AttendedSources.needs

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring
        self._sources = AttendedSources(controls=scoring.controls, seed=scoring.seed)

    def see(self, view: LayerView) -> None:
        """Take in one layer."""
        self._sources.see(view)

    def end_batch(
        self, batch: HeadBatch, *, final_scale: Float[Tensor, "batch pos 1"] | None
    ) -> None:
        """After the last layer of a batch."""
        self._sources.end_batch(batch, final_scale=final_scale)

    def finish(self) -> HeadScores:
        """After the last batch."""
        g = self._scoring.geometry
        k = k_of(g.d_vocab)
        by_sequence = np.stack([self._layer(layer, k) for layer in range(g.n_layers)], axis=2)
        known = (~np.isnan(by_sequence[:, 0])).sum(axis=0)
        values = np.where(known >= LEAST, over_defined(by_sequence), np.nan)
        found = concluded_by_sequence(
            DETECTOR,
            self._scoring,
            values=values[..., None],
            columns=[DETECTOR.column(definition=_definition(k), chance=f"{k} / d_vocab")],
            notes={DETECTOR.name: {"n_untested": int((known < LEAST).sum()), "k": k}},
            settings={"k": k, "attention": ATTENTION, "least_sequences": LEAST},
        )
        return replace(found, n_sequences=known[..., None].astype(float))

    def _layer(self, layer: int, k: int) -> Float[np.ndarray, "sequences labels n_heads"]:
        """Share of a sequence's pairs that are lowered, by label; NaN where none counts."""
        circuits, sources = circuits_of(self._scoring), self._sources
        g = self._scoring.geometry
        constant = circuits.norms.bias(layer) @ g.W_V(layer).float() + g.b_V(layer).float()
        content = sources.values(layer).float() - g.per_head(constant)
        maps, tokens = circuits.W_O(layer) @ circuits.unembedding, sources.tokens(layer)
        marks = np.stack(
            [
                among_lowest(content[:, head], maps[head], tokens[:, head], k).cpu().numpy()
                for head in range(g.n_heads)
            ],
            axis=-1,
        )
        counts = sources.attention(layer) >= ATTENTION
        _, place = np.unique(sources.sequence, return_inverse=True)
        n = np.zeros((place.max() + 1, g.n_heads))
        total = np.zeros((len(n), marks.shape[1], g.n_heads))
        np.add.at(n, place, counts)
        np.add.at(total, place, marks * counts[:, None])
        n = n[:, None]
        return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)


def _definition(k: int) -> str:
    return (
        "share of the tokens a head attends to most (attention .1 or more, two places a sequence) "
        f"that are among the {k} of the vocabulary whose logit it lowers most there"
    )


DETECTOR = Detector(
    name="copy_suppression_text",
    version=1,
    definition=_definition(10),
    source="arXiv 2310.04625, section 3.1",
    unit="share of pairs",
    needs=frozenset({"attention", "values", "weights"}),
    inputs="text",
    low=0.0,
    high=1.0,
    chance="10 / d_vocab",
    null="another token of the sequence in place of the attended one, the same step for all heads",
    observe=SuppressedSources,
)
