"""The losses of ALLO (2406.12606) and of DPO (2305.18290), from log-probability ratios.

A ratio is ℓ_t = log π(y_t) − log π_ref(y_t) at a token of an answer, 0 elsewhere.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import logsigmoid

Select = Literal["largest", "smallest"]


def dpo_loss(
    chosen: Float[Tensor, "rows pos"],
    rejected: Float[Tensor, "rows pos"],
    *,
    beta: float,
    n: int | None = None,
) -> Float[Tensor, ""]:
    """−log σ(β z), z = Σ_t ℓ_t of the chosen answer − Σ_t ℓ_t of the rejected one, over all pairs.

    The sum is divided by `n`, by default the number of pairs here: with the number of a whole
    batch, the losses of its pieces add up to that of the batch.
    """
    margin = chosen.sum(1) - rejected.sum(1)
    return -logsigmoid(beta * margin).sum() / (len(margin) if n is None else n)


def forget_loss(
    ratio: Float[Tensor, "rows pos"],
    weights: Float[Tensor, "rows pos"],
    *,
    beta: float,
    n: int | None = None,
) -> Float[Tensor, ""]:
    """L_F = Σ_t w_t (−log σ(−β ℓ_t)) / #{w_t ≠ 0}: NPO by tokens, without its factor 2/β.

    At π = π_ref its gradient by log π(y_t) is w_t β/2 over the count, and it vanishes as π(y_t)
    goes to 0. `n` replaces the count. Without a weight it is 0 (the authors' code divides 0 by 0).
    """
    count = int(weights.count_nonzero()) if n is None else n
    return (weights * -logsigmoid(-beta * ratio)).sum() / max(count, 1)


def learn_loss(
    chosen: Float[Tensor, "rows pos"],
    rejected: Float[Tensor, "rows pos"],
    answer: Bool[Tensor, "rows pos"],
    *,
    beta: float,
    epsilon: float,
    select: Select = "largest",
    padded: int | None = None,
    n: int | None = None,
) -> Float[Tensor, ""]:
    """L_D: DPO with all tokens of the chosen answer and the selected ones of the rejected.

    `answer` marks the rejected answers' tokens; see `kept_tokens` for the selection and `dpo_loss`
    for `n`. With ε = 1, or where all ratios are equal, it is DPO.
    """
    kept = kept_tokens(rejected, answer, epsilon=epsilon, select=select, padded=padded)
    return dpo_loss(chosen, rejected * kept, beta=beta, n=n)


def kept_tokens(
    ratio: Float[Tensor, "rows pos"],
    answer: Bool[Tensor, "rows pos"],
    *,
    epsilon: float,
    select: Select = "largest",
    padded: int | None = None,
) -> Bool[Tensor, "rows pos"]:
    """The ⌊ε·T⌋ tokens of each answer with the largest (or smallest) −ℓ_t; no gradient through it.

    T counts the answer's tokens; `padded` replaces it, as in the authors' code, whose T is the
    padded length with prompt and all. At least one token is kept, and all that tie with the last:
    before the first update every ℓ_t is 0, so everything is.
    """
    score = (-ratio if select == "largest" else ratio).detach()
    ranked = score.masked_fill(~answer, -torch.inf)
    of = answer.sum(1) if padded is None else torch.full_like(answer.sum(1), padded)
    # 0.29 * 100 is 28.999999999999996.
    count = (epsilon * of.double() + 1e-9).floor().long().clamp(1, answer.shape[1])
    last = ranked.sort(dim=1, descending=True).values.gather(1, count[:, None] - 1)
    return answer & (ranked >= last)
