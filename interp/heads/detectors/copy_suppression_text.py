"""Copy suppression on a text: of the tokens a head attends to, how many it lowers most of all."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.heads.attention import LayerView
from interp.heads.attention.batch import HeadBatch
from interp.heads.conclusion import concluded_by_token
from interp.heads.detector import Detector, Scoring
from interp.heads.scores import HeadScores
from interp.heads.weights.shared import circuits_of, k_of, on_device
from interp.heads.writing.blocks import exchanged, token_blocks
from interp.heads.writing.lowered import lowered_most
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
        self._sources = AttendedSources(seed=scoring.seed)

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
        scoring, g = self._scoring, self._scoring.geometry
        ids, counts = self._sources.text
        rng = scoring.rng(f"{DETECTOR.name}/tokens")
        asked = ids[exchanged(counts, controls=scoring.controls, rng=rng)]
        block = token_blocks(len(ids), rng=rng)
        k = k_of(g.d_vocab)
        layers = [self._layer(layer, k, ids, asked, block) for layer in range(g.n_layers)]
        by_sequence = np.stack([one for one, _ in layers], axis=1)
        by_block = np.stack([one for _, one in layers], axis=2)
        known = (~np.isnan(by_sequence)).sum(axis=0)
        return concluded_by_token(
            DETECTOR,
            scoring,
            by_block=np.where(known >= LEAST, by_block, np.nan),
            by_sequence=np.where(known >= LEAST, by_sequence, np.nan),
            columns=[DETECTOR.column(definition=_definition(k), chance=f"{k} / d_vocab")],
            notes={DETECTOR.name: {"n_untested": int((known < LEAST).sum()), "k": k}},
            settings={"k": k, "attention": ATTENTION, "least_sequences": LEAST},
        )

    def _layer(
        self,
        layer: int,
        k: int,
        ids: Int[np.ndarray, " ids"],
        asked: Int[np.ndarray, "ids labels"],
        block: Int[np.ndarray, " ids"],
    ) -> tuple[Float[np.ndarray, "sequences heads"], Float[np.ndarray, "blocks labels heads"]]:
        """Share of a sequence's pairs that are lowered (NaN where none counts); by block, of all.

        The parts of the blocks sum to the mean over sequences.
        """
        sources = self._sources
        place, head = np.nonzero(sources.attention(layer) >= ATTENTION)
        own = np.searchsorted(ids, sources.tokens(layer)[place, head])
        marks = self._marks(layer, place, head, asked[own], k)
        numbers, sequence = np.unique(sources.sequence, return_inverse=True)
        n = np.zeros((len(numbers), self._scoring.geometry.n_heads))
        np.add.at(n, (sequence[place], head), 1)
        share = marks / n[sequence[place], head][:, None]
        total = np.zeros_like(n)
        np.add.at(total, (sequence[place], head), share[:, 0])
        by_block = np.zeros((block.max() + 1, n.shape[1], marks.shape[1]))
        np.add.at(by_block, (block[own], head), share / (n > 0).sum(axis=0)[head][:, None])
        return np.where(n > 0, total, np.nan), by_block.transpose(0, 2, 1)

    def _marks(
        self,
        layer: int,
        place: Int[np.ndarray, " pairs"],
        head: Int[np.ndarray, " pairs"],
        asked: Int[np.ndarray, "pairs labels"],
        k: int,
    ) -> Bool[np.ndarray, "pairs labels"]:
        circuits, g = circuits_of(self._scoring), self._scoring.geometry
        constant = circuits.norms.bias(layer) @ g.W_V(layer).float() + g.b_V(layer).float()
        content = self._sources.values(layer).float() - g.per_head(constant)
        marks = np.zeros(asked.shape, bool)
        written = content.new_zeros(len(place), g.d_model)
        for one, W_O in enumerate(circuits.W_O(layer)):
            mine = on_device(self._scoring, np.flatnonzero(head == one))
            written[mine] = content[on_device(self._scoring, place)[mine], one] @ W_O
        if len(place):
            ids = torch.from_numpy(asked).to(content.device)
            marks = lowered_most(written, circuits.unembedding, ids, k).cpu().numpy()
        return marks


def _definition(k: int) -> str:
    return (
        "share of the tokens a head attends to most (attention .1 or more, two places a sequence) "
        f"that are among the {k} of the vocabulary whose logit it lowers most there"
    )


DETECTOR = Detector(
    name="copy_suppression_text",
    version=2,
    definition=_definition(10),
    source="arXiv 2310.04625, section 3.1",
    unit="share of pairs",
    needs=frozenset({"attention", "values", "weights"}),
    inputs="text",
    low=0.0,
    high=1.0,
    chance="10 / d_vocab",
    null=(
        "another token of the text in place of the attended one, the same wherever that stands and "
        "for all heads"
    ),
    observe=SuppressedSources,
)
