"""The rewriting model: trained to correct with few edits, asked how likely each token is kept.

It reads problem, right solution and prediction and writes the prediction corrected. Teacher-forced
on the prediction itself, its probability p_t of token y_t after the tokens before it says whether a
minimal correction would keep y_t (RLMEC, 2401.06081; the token reward of ALLO, 2406.12606).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interp.abilities.allo.corrections import (
    TEMPLATE,
    Correction,
    CorrectionExamples,
    correction_examples,
    filled,
    read_corrections,
)
from interp.abilities.allo.log_probs import answer_log_probs
from interp.abilities.moving.lineage import Lineage, known_ancestors
from interp.abilities.training.masked_training import TrainingRecipe, train_model
from interp.models.examples import encode_examples
from interp.models.hub import directory_of
from interp.models.identity import model_identity
from interp.models.trainable import TrainableModel, read_trainable, write_trained
from interp.results.atomic import check_out
from interp.results.errors import BadInput, CorruptFile
from interp.results.processes import check_alone
from interp.results.progress import progress
from interp.results.provenance import Provenance

RECIPE = TrainingRecipe(steps=400, lr=1e-3, freeze_embeddings=False)
LENGTH = 2048
"""Tokens that problem, solution, prediction and rewrite may have together."""
_BATCH = 128


@dataclass(frozen=True, kw_only=True)
class RewriterTraining:
    """A rewriting model that was written, and what it learnt from."""

    path: Path
    n_rewrites: int
    n_copies: int
    n_dropped: int
    """Rows without a rewrite whose final answer is right."""
    loss: float
    """Of the last step, in nats a token."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "path": str(self.path)}


def train_rewriter(
    base: str | Path,
    corrections: str | Path,
    out: str | Path,
    *,
    template: str = TEMPLATE,
    recipe: TrainingRecipe = RECIPE,
    device: str = "cpu",
    overwrite: bool = False,
) -> RewriterTraining:
    """Write the model `base` trained to correct, as a directory that remembers its template."""
    check_alone("training to rewrite")
    directory, out = directory_of(base), Path(out)
    check_out(out, replace=overwrite)
    rng = np.random.default_rng(recipe.seed)
    examples = correction_examples(read_corrections(corrections), template=template, rng=rng)
    trained = read_trainable(directory, device=device)
    data = encode_examples(examples.rows, trained.tokenizer(), length=LENGTH)
    with progress("training to rewrite", total=recipe.steps, unit="steps") as advance:
        losses = train_model(trained, data, recipe=recipe, on_progress=advance)
    made_from = model_identity(directory).root
    settings = {"rewriter": {"template": template}, "training": asdict(recipe)}
    provenance = Provenance.collect(
        "interp ability rewriter",
        model_hash=made_from,
        corpus_hash=data.hash,
        seed=recipe.seed,
        settings=settings,
    )
    with write_trained(trained, out, overwrite=overwrite) as written:
        Lineage(
            root=model_identity(written).root,
            ancestors=(made_from, *known_ancestors(directory, made_from)),
            recipe=settings,
            provenance=provenance,
        ).save(written)
    return RewriterTraining(path=out, loss=float(losses[-1]), **_counts(examples))


def kept_probabilities(
    trained: TrainableModel,
    corrections: Sequence[Correction],
    *,
    template: str = TEMPLATE,
    on_progress: Callable[..., None] | None = None,
) -> list[list[float]]:
    """p_t of every token of every prediction: that the corrected answer says it too."""
    tokenizer = trained.tokenizer()
    rows = [{"prompt": filled(template, c), "answer": c.prediction} for c in corrections]
    examples = encode_examples(rows, tokenizer, length=LENGTH)
    device = next(trained.model.parameters()).device
    found: list[list[float]] = []
    for start in range(0, len(rows), _BATCH):
        tokens = examples.tokens[start : start + _BATCH].to(device)
        answer = examples.target[start : start + _BATCH].to(device)
        with torch.no_grad():
            log_probs = answer_log_probs(trained.model, tokens, answer)
        found += [p[a].exp().tolist() for p, a in zip(log_probs, answer, strict=True)]
        if on_progress is not None:
            on_progress(len(tokens))
    return found


def template_of(directory: Path) -> str:
    """The template that a rewriting model was trained with. BadInput where it is not known."""
    lineage = Lineage.load(directory)
    made = None if lineage is None else lineage.recipe.get("rewriter")
    if made is None:
        raise BadInput(
            f"{directory} was not written by `interp ability rewriter`: say by --template how it "
            "is to be asked"
        )
    if not isinstance(made, dict) or not isinstance(made.get("template"), str):
        raise CorruptFile(f"the interp.json of {directory} has no template: give --template")
    return made["template"]


def _counts(examples: CorrectionExamples) -> dict[str, int]:
    return {name: getattr(examples, name) for name in ("n_rewrites", "n_copies", "n_dropped")}
