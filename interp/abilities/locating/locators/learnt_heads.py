"""Learnt heads: which attention heads stay open when gates on them are learnt for the ability."""

from interp.abilities.locating.locator import Locator, UnitEvidence, UnitScores


def learnt_heads(evidence: UnitEvidence) -> UnitScores:
    """P(gate > 0) of every query head's `z`; a whole head has its query head's gate."""
    return {"head": evidence.gates["head"], "q_head": evidence.gates["head"]}


LOCATOR = Locator(
    name="learnt_heads",
    question="how surely the head stays open when all but a share must close",
    source="structured masks of Sheared LLaMA, arXiv 2310.06694",
    needs=frozenset({"gates"}),
    score_units=learnt_heads,
)
