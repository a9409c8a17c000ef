"""Which tokens of a rejected answer are to blame, from a rewriting model's probabilities.

p_t is the probability that the corrected answer keeps token y_t (see `rewriter`).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from interp.results.errors import BadInput

Rule = Callable[[Float[Tensor, "*tokens"]], Float[Tensor, "*tokens"]]
THRESHOLD = 0.5


def unaligned(probabilities: Float[Tensor, "*tokens"]) -> Float[Tensor, "*tokens"]:
    """1 where the rewriting model would rather not keep the token, p_t < .5; else 0."""
    return (probabilities < THRESHOLD).to(probabilities.dtype)


def soft(probabilities: Float[Tensor, "*tokens"]) -> Float[Tensor, "*tokens"]:
    """1 - p_t."""
    return 1 - probabilities


def released(probabilities: Float[Tensor, "*tokens"]) -> Float[Tensor, "*tokens"]:
    """p_t itself, as the code of ALLO (2406.12606) stores it: most for tokens that are kept.

    The paper forgets tokens with unaligned knowledge, which is the opposite.
    """
    return probabilities


RULES: dict[str, Rule] = {"unaligned": unaligned, "soft": soft, "released": released}


def token_weights(
    probabilities: Float[Tensor, "*tokens"], *, rule: str = "unaligned"
) -> Float[Tensor, "*tokens"]:
    """One weight a token, from 0 to 1, by a named rule. Raises BadInput for an unknown name."""
    if rule not in RULES:
        raise BadInput(f"no rule {rule!r} for token weights: there are {', '.join(RULES)}")
    return RULES[rule](probabilities)


@dataclass(frozen=True, kw_only=True)
class TokenAgreement:
    """How well token weights point at the tokens that are known to be wrong."""

    precision: float
    """Share of the weight that lies on wrong tokens; NaN without any weight."""
    recall: float
    """Mean weight of a wrong token; NaN where none is wrong."""
    base_rate: float
    """Share of tokens that are wrong: the precision of weights drawn at random."""
    weighted: float
    """Mean weight of all tokens: the recall of weights drawn at random."""
    n_tokens: int

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; None for what is not defined."""
        return {k: None if np.isnan(v) else v for k, v in asdict(self).items()}


def agreement(
    weights: Float[np.ndarray, " tokens"], wrong: Bool[np.ndarray, " tokens"]
) -> TokenAgreement:
    """Precision and recall of weights against known wrong tokens, all answers pooled."""
    total, n_wrong = float(weights.sum()), int(wrong.sum())
    found = float(weights[wrong].sum())
    return TokenAgreement(
        precision=found / total if total > 0 else float("nan"),
        recall=found / n_wrong if n_wrong else float("nan"),
        base_rate=float(wrong.mean()) if len(wrong) else float("nan"),
        weighted=float(weights.mean()) if len(weights) else float("nan"),
        n_tokens=len(weights),
    )
