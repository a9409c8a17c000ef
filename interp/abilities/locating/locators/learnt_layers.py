"""Learnt layers: which layers stay open when gates on them are learnt for the ability."""

from interp.abilities.locating.locator import Locator, UnitEvidence, UnitScores


def learnt_layers(evidence: UnitEvidence) -> UnitScores:
    """P(gate > 0) of all that a layer adds to the residual stream."""
    return {"layer": evidence.gates["layer"]}


LOCATOR = Locator(
    name="learnt_layers",
    question="how surely the layer stays open when all but a share must close",
    source="structured masks of Sheared LLaMA, arXiv 2310.06694",
    needs=frozenset({"gates"}),
    score_units=learnt_layers,
)
