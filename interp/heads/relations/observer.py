"""RelationObserver: reads the events of a plan in a model's forward passes, into a tally."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.heads.attention.batch import HeadBatch
from interp.heads.attention.geometry import HeadGeometry
from interp.heads.attention.reading import LayerView
from interp.heads.relations.choices import RelationChoices
from interp.heads.relations.events import MAX_CONTROLS, EventPlan
from interp.heads.relations.gates import attended, gate
from interp.heads.relations.gathering import BatchEvents, batch_events
from interp.heads.relations.pairs import Measured, Pairs, gated_pairs, measured_pairs
from interp.heads.relations.tally import RelationTally
from interp.heads.relations.written import refuse_folded

_SUMS = (
    *("n_gated", "n_gated_otherwise", "n_undefined", "weight", "share", "raised", "uniform"),
    *("copying", "copying_weight", "n_tested", "tested_weight"),
)


class RelationObserver:
    """An observer whose `tally` is whole after the pass; it keeps sums, and a bit for each gate."""

    def __init__(self, plan: EventPlan, geometry: HeadGeometry) -> None:
        refuse_folded(geometry, plan.choices)
        more = {"v", "final_scale", "output_scale"} if plan.choices.needs_final_scale else set()
        self.needs: frozenset[str] | set[str] = {"pattern", *more}
        self._plan, self._geometry = plan, geometry
        self._of = {s.number: s for s in plan.sequences}
        self._events: BatchEvents | None = None
        self._parts: list[_Part] = []

    def see(self, view: LayerView) -> None:
        """Gate the batch's events at this layer and measure those that pass."""
        if view.layer == 0:
            self._events = self._gather(view.batch)
            if self._events is not None:
                self._parts.append(_Part(self._events, self._geometry))
        if self._events is None:
            return
        events, choices = self._events, self._plan.choices
        read = attended(view.pattern, events.batch, events.position, events.anchors)
        passed = gate(read, choices, keep_first=choices.sink == "keep")
        otherwise = gate(read, choices, keep_first=choices.sink != "keep")
        self._parts[-1].gates(view.layer, passed, otherwise)
        pairs = gated_pairs(view, events, choices, read, passed)
        # Shares of logits do not depend on the scale: what can be reduced now is not kept.
        late = choices.read == "prob" and choices.needs_final_scale
        measured = (
            None if late else measured_pairs(pairs, events, pairs.logits, pairs.everything, choices)
        )
        self._parts[-1].pending.append((pairs if late else _without_logits(pairs), measured))

    def end_batch(
        self, batch: HeadBatch, *, final_scale: Float[Tensor, "batch pos 1"] | None
    ) -> None:
        """Sum the batch's pairs, now that the final norm's scale is known."""
        del batch
        if self._events is None:
            return
        for pairs, measured in self._parts[-1].pending:
            scale = _scale(pairs, self._events, final_scale)
            if measured is None:
                by = scale[:, None]
                measured = measured_pairs(
                    pairs,
                    self._events,
                    pairs.logits * pairs.mass[:, None] / by,
                    pairs.everything / by,
                    self._plan.choices,
                )
                raised = measured.raised
            else:
                raised = measured.raised * pairs.mass / scale
            self._parts[-1].add(pairs, measured, raised, self._plan.choices)
        self._parts[-1].pending.clear()
        self._events = None

    @property
    def n_read(self) -> int:
        """Batches that held an event."""
        return len(self._parts)

    def tally(self) -> RelationTally:
        """What was summed in all batches; there must have been an event."""
        return _tally(self._plan, self._parts, self._geometry)

    def _gather(self, batch: HeadBatch) -> BatchEvents | None:
        places = [
            (row, self._of[int(number)])
            for row, number in enumerate(batch.sequence)
            if int(number) in self._of
        ]
        if not places:
            return None
        return batch_events(places, batch, self._plan.choices, self._geometry)


def _without_logits(pairs: Pairs) -> Pairs:
    return pairs._replace(logits=pairs.logits[:, :0], everything=pairs.everything[:, :0])


def _scale(
    pairs: Pairs, events: BatchEvents, final: Float[Tensor, "batch pos 1"] | None
) -> Float[Tensor, " pairs"]:
    scale = torch.ones_like(pairs.mass) if pairs.scale is None else pairs.scale
    if final is None:
        return scale
    return scale * final[events.batch[pairs.event], events.position[pairs.event], 0]


class _Part:
    """Sums of one batch."""

    def __init__(self, events: BatchEvents, geometry: HeadGeometry) -> None:
        self.events, self._n_heads = events, geometry.n_heads
        self.pending: list[tuple[Pairs, Measured | None]] = []
        shape = (events.n_triplets, geometry.n_layers, geometry.n_heads)
        self.sums = {name: np.zeros(shape) for name in _SUMS}
        self.label_share = np.zeros((*shape, 1 + MAX_CONTROLS), np.float32)
        n_events = len(events.position)
        self.passed = np.zeros((n_events, *shape[1:]), bool)

    def gates(
        self,
        layer: int,
        passed: Bool[Tensor, "events n_heads"],
        otherwise: Bool[Tensor, "events n_heads"],
    ) -> None:
        self.passed[:, layer] = passed.cpu().numpy()
        for name, of in (("n_gated", passed), ("n_gated_otherwise", otherwise)):
            sums = torch.zeros(self.events.n_triplets, self._n_heads, dtype=torch.float64)
            sums.index_add_(0, self.events.triplet.cpu(), of.cpu().double())
            self.sums[name][:, layer] = sums.numpy()

    def add(
        self,
        pairs: Pairs,
        measured: Measured,
        raised: Float[Tensor, " pairs"],
        choices: RelationChoices,
    ) -> None:
        weight = measured.defined.double()
        if choices.gate == "none":
            weight = weight * pairs.mass
        tested = self.events.tested[pairs.event].double()
        copied = weight * measured.copied

        def of(value: Tensor, by: Tensor) -> Tensor:
            # An undefined share is NaN: it must not meet its weight of zero.
            return torch.where(by > 0, value.double(), 0.0) * by

        columns = {
            "n_undefined": (~measured.defined).double(),
            "weight": weight,
            "share": of(measured.labels[:, 0], weight),
            "raised": of(raised, weight),
            "uniform": of(measured.uniform, weight),
            "copying": of(measured.copying, copied),
            "copying_weight": copied,
            "n_tested": measured.defined * tested,
            "tested_weight": weight * tested,
        }
        labels = of(measured.labels, (weight * tested)[:, None])
        stacked = torch.cat([torch.stack(list(columns.values()), dim=1), labels], dim=1)
        place = self.events.triplet[pairs.event] * self._n_heads + pairs.head
        summed = torch.zeros(
            self.events.n_triplets * self._n_heads,
            stacked.shape[1],
            dtype=torch.float64,
            device=stacked.device,
        )
        summed.index_add_(0, place, stacked)
        values = summed.cpu().numpy().reshape(self.events.n_triplets, self._n_heads, -1)
        for i, name in enumerate(columns):
            self.sums[name][:, pairs.layer] = values[..., i]
        self.label_share[:, pairs.layer] = values[..., len(columns) :]


def _tally(plan: EventPlan, parts: Sequence[_Part], geometry: HeadGeometry) -> RelationTally:
    sequences = [s for part in parts for s in part.events.sequences]
    offsets = np.cumsum([0, *(len(s.relation) for s in sequences)])[:-1]

    def each(values: Sequence[np.ndarray], like: np.dtype | type = np.int64) -> np.ndarray:
        return np.concatenate(values) if values else np.zeros(0, like)

    def flat(arrays: Sequence[np.ndarray], width: int) -> np.ndarray:
        return np.concatenate([a.reshape(len(a), width, *a.shape[3:]) for a in arrays])

    width = geometry.n_layers * geometry.n_heads
    triplets = each([s.triplet + o for s, o in zip(sequences, offsets, strict=True)])
    return RelationTally(
        choices=plan.choices,
        relations=plan.relations,
        match=plan.match,
        null=plan.null,
        left_out=plan.left_out,
        n_layers=geometry.n_layers,
        sequence=each([np.full(len(s.relation), s.number) for s in sequences]),
        document=each([np.full(len(s.relation), s.document) for s in sequences]),
        relation=each([s.relation for s in sequences]),
        entities=np.concatenate([s.entities for s in sequences]),
        tail_first=each([s.tail_first for s in sequences], bool),
        label_tokens=np.concatenate([s.label_tokens for s in sequences]),
        opportunities=np.bincount(triplets, minlength=sum(len(s.relation) for s in sequences)),
        **{name: flat([part.sums[name] for part in parts], width) for name in _SUMS},
        label_share=flat([part.label_share for part in parts], width),
        event_triplet=triplets,
        event_position=each([s.position for s in sequences]),
        event_gates=np.packbits(flat([part.passed for part in parts], width), axis=1),
    )
