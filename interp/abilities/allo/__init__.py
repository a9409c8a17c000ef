"""ALLO: align a model to preferences in few of its entries (2406.12606).

A short warm-up by DPO shows which entries an alignment moves. Forgetting then takes probability
from the wrong tokens of rejected answers, learning prefers the chosen answers, and each stage moves
only its own entries: every other bit of the model stays.

    from interp.abilities.allo import PRESETS, encode_pairs, read_pairs, run_stage
    pairs = encode_pairs(read_pairs("pairs.jsonl"), trained.tokenizer())
    losses = run_stage(trained, pairs, PRESETS["text"].stage("forget"), mask=mask)
"""

from interp.abilities.allo.batches import AnswerBatch, StageBatch
from interp.abilities.allo.log_probs import (
    ReferenceLogProbs,
    answer_log_probs,
    reference_log_probs,
)
from interp.abilities.allo.losses import dpo_loss, forget_loss, kept_tokens, learn_loss
from interp.abilities.allo.objectives import Objective
from interp.abilities.allo.pairs import (
    EncodedAnswers,
    EncodedPairs,
    PreferencePair,
    encode_pairs,
    read_pairs,
)
from interp.abilities.allo.stages import PRESETS, AlloRecipe, StageRecipe
from interp.abilities.allo.train import run_stage
from interp.abilities.training.processes import join_processes

__all__ = [
    "PRESETS",
    "AlloRecipe",
    "AnswerBatch",
    "EncodedAnswers",
    "EncodedPairs",
    "Objective",
    "PreferencePair",
    "ReferenceLogProbs",
    "StageBatch",
    "StageRecipe",
    "answer_log_probs",
    "dpo_loss",
    "encode_pairs",
    "forget_loss",
    "join_processes",
    "kept_tokens",
    "learn_loss",
    "read_pairs",
    "reference_log_probs",
    "run_stage",
]
