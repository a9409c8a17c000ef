"""Learnt widths: which MLP neurons stay open when gates on them are learnt for the ability."""

from interp.abilities.locating.locator import Locator, UnitEvidence, UnitScores


def learnt_widths(evidence: UnitEvidence) -> UnitScores:
    """P(gate > 0) of every neuron's activation."""
    return {"neuron": evidence.gates["neuron"]}


LOCATOR = Locator(
    name="learnt_widths",
    question="how surely the neuron stays open when all but a share must close",
    source="structured masks of Sheared LLaMA, arXiv 2310.06694",
    needs=frozenset({"gates"}),
    score_units=learnt_widths,
)
