"""From pairs to what a loss reads: log-probabilities of one piece of an update."""

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from interp.abilities.allo.batches import AnswerBatch, StageBatch
from interp.abilities.allo.log_probs import ReferenceLogProbs, answer_log_probs, trimmed
from interp.abilities.allo.pairs import EncodedPairs, Side


def stage_batch(
    model: nn.Module,
    pairs: EncodedPairs,
    reference: ReferenceLogProbs,
    *,
    rows: Int64[Tensor, " rows"],
    update: Int64[Tensor, " update"],
    sides: Sequence[Side],
    at_start: bool = False,
) -> StageBatch:
    """The pairs `rows` of an update of the pairs `update`, on the model's device.

    One forward pass for all sides. With `at_start` the model is its own reference, and ratios are
    exactly 0: log-probabilities of another batch would differ in their last bits, and a selection
    by ratios would follow those.
    """
    place = next(model.parameters()).device
    tokens = torch.cat([pairs.side(side).tokens[rows] for side in sides])
    answer = torch.cat([pairs.side(side).answer[rows] for side in sides])
    tokens, answer = trimmed(tokens, answer)
    end = tokens.shape[1]
    log_probs = answer_log_probs(model, tokens.to(place), answer.to(place))
    batches = {}
    for side, own in zip(sides, log_probs.chunk(len(sides)), strict=True):
        answers = pairs.side(side)
        before = own.detach() if at_start else reference.side(side)[rows, :end].to(place)
        batches[side] = AnswerBatch(
            log_probs=own,
            reference=before,
            answer=answers.answer[rows, :end].to(place),
            weights=answers.weights[rows, :end].to(place),
        )
    weighted: dict[Side, int] = {
        side: int(pairs.side(side).weights[update].count_nonzero()) for side in sides
    }
    ends = (pairs.chosen.answer[update] | pairs.rejected.answer[update]).any(0)
    return StageBatch(
        sides=batches,
        n_pairs=len(update),
        n_weighted=weighted,
        padded=int(ends.nonzero().max()) + 1,
    )
