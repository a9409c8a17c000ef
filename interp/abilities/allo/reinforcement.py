"""Training by RLMEC (2401.06081): token rewards push, and minimal rewrites are imitated.

Every pair gives three texts: the rejected answer with its rewards, the chosen one with its rewards
and, as a right answer, imitated at .5, and the rewrite, imitated with more weight where it differs
from the rejected answer.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.abilities.allo.corrections import correction_of
from interp.abilities.allo.edits import KEPT, edit_weights
from interp.abilities.allo.log_probs import answer_log_probs
from interp.abilities.allo.pairs import read_pairs
from interp.abilities.allo.rlmec import (
    IMITATION,
    imitation_loss,
    reinforcement_loss,
    rlmec_loss,
    token_rewards,
)
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.moving.lineage import Lineage, known_ancestors
from interp.abilities.training.masked_training import TrainingRecipe, check_mask, dense_masks
from interp.abilities.training.packed_entries import PackedEntries
from interp.models.examples import encode_answers, encode_examples
from interp.models.hub import directory_of
from interp.models.identity import model_identity
from interp.models.trainable import TrainableModel, read_trainable, write_trained
from interp.models.training import adamw, warmup_cosine
from interp.results.atomic import check_out
from interp.results.errors import BadInput
from interp.results.hashing import sha256_bytes
from interp.results.processes import check_alone
from interp.results.progress import progress
from interp.results.provenance import Provenance

LENGTH = 2048
RECIPE = TrainingRecipe(steps=300, lr=5e-6, batch_size=128, warmup=9, freeze_embeddings=False)
"""Rate and batch of RLMEC's code, for models of billions of entries."""


@dataclass(frozen=True, kw_only=True)
class RewardedTexts:
    """Prompts with one answer each, and what every token of it earns and is imitated with."""

    tokens: Int[Tensor, "texts pos"]
    answer: Bool[Tensor, "texts pos"]
    rewards: Float[Tensor, "texts pos"]
    """0 off the answers, and in texts that are only imitated."""
    imitation: Float[Tensor, "texts pos"]
    """0 off the answers, and in texts that are only rewarded."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def hash(self) -> str:
        """SHA-256 of everything as fed."""
        parts = [self.tokens.long(), self.answer, self.rewards, self.imitation]
        shape = repr(tuple(self.tokens.shape)).encode()
        return sha256_bytes(shape + b"".join(part.numpy().tobytes() for part in parts))


def rewarded_texts(trained: TrainableModel, rows: Sequence[Mapping[str, Any]]) -> RewardedTexts:
    """The texts of pairs that `reward` has scored. Raises BadInput where a score is missing."""
    tokenizer = trained.tokenizer()
    prompts, rewards, imitation = [], [], []
    for number, row in enumerate(rows, start=1):
        correction = correction_of(row, where=f"pair {number}")
        rewrite = correction.minimal() or correction.solution
        texts = [correction.prediction, correction.solution, rewrite]
        wrong, right, corrected = encode_answers(texts, tokenizer)
        prompts += [{"prompt": correction.problem, "answer": text} for text in texts]
        rewards += [
            _rewards(row, "rejected_probabilities", len(wrong), right=False, number=number),
            _rewards(row, "chosen_probabilities", len(right), right=True, number=number),
            [0.0] * len(corrected),
        ]
        weights = edit_weights(wrong, corrected)
        imitation += [[0.0] * len(wrong), [KEPT] * len(right), weights]
    examples = encode_examples(prompts, tokenizer, length=LENGTH)
    return RewardedTexts(
        tokens=examples.tokens,
        answer=examples.target,
        rewards=_laid_out(rewards, examples.target),
        imitation=_laid_out(imitation, examples.target),
    )


def reinforce(
    policy: str | Path,
    rewarded: str | Path,
    out: str | Path,
    *,
    mask: NeuronMask | None = None,
    recipe: TrainingRecipe = RECIPE,
    imitation: float = IMITATION,
    device: str = "cpu",
    overwrite: bool = False,
) -> Float[np.ndarray, " steps"]:
    """Write the model `policy` trained by RLMEC's objective; the loss of every step, in nats.

    `rewarded` is a file of pairs that `reward` wrote. The old policy of the objective is `policy`
    itself. With a mask only its entries move.
    """
    check_alone("reinforcing")
    directory, rewarded, out = directory_of(policy), Path(rewarded), Path(out)
    check_out(out, replace=overwrite)
    if mask is not None:
        check_mask(mask, directory)
    trained = read_trainable(directory, device=device)
    texts = rewarded_texts(trained, _read(rewarded))
    with progress("reinforcing", total=recipe.steps, unit="steps") as advance:
        losses = reinforce_model(
            trained, texts, mask=mask, recipe=recipe, imitation=imitation, on_progress=advance
        )
    made_from = model_identity(directory).root
    settings = {
        "reinforce": {"imitation": imitation},
        "training": asdict(recipe),
        "mask": None if mask is None else mask.recipe,
    }
    with write_trained(trained, out, overwrite=overwrite) as written:
        Lineage(
            root=model_identity(written).root,
            ancestors=(made_from, *known_ancestors(directory, made_from)),
            recipe=settings,
            provenance=Provenance.collect(
                "interp ability reinforce",
                model_hash=made_from,
                corpus_hash=texts.hash,
                seed=recipe.seed,
                settings=settings,
            ),
        ).save(written)
    return losses


def reinforce_model(
    trained: TrainableModel,
    texts: RewardedTexts,
    *,
    mask: NeuronMask | None = None,
    recipe: TrainingRecipe,
    imitation: float = IMITATION,
    on_progress: Callable[..., None] | None = None,
) -> Float[np.ndarray, " steps"]:
    """Train a model in place, all of it or a mask's entries; the loss of every step, in nats."""
    model, device = trained.model.eval(), next(trained.model.parameters()).device
    frozen = trained.embeddings if recipe.freeze_embeddings else frozenset()
    for name in frozen:
        trained.parameters[name].requires_grad_(False)
    free = {name: p for name, p in trained.parameters.items() if name not in frozen}
    entries = PackedEntries(free, None if mask is None else dense_masks(mask, trained))
    optimizer = adamw(entries.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    old = _old_log_probs(trained, texts, batch_size=recipe.batch_size)
    losses = np.zeros(recipe.steps)
    rows = _row_batches(len(texts), recipe)
    for step in range(recipe.steps):
        share = warmup_cosine(step, steps=recipe.steps, warmup=recipe.warmup)
        optimizer.param_groups[0]["lr"] = recipe.lr * share
        chosen = next(rows)
        tokens, answer = texts.tokens[chosen].to(device), texts.answer[chosen].to(device)
        log_probs = answer_log_probs(model, tokens, answer)
        loss = rlmec_loss(
            reinforcement_loss(log_probs, old[chosen].to(device), texts.rewards[chosen].to(device)),
            imitation_loss(log_probs, texts.imitation[chosen].to(device)),
            imitation_weight=imitation,
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        entries.gather()
        if recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(entries.parameters(), recipe.clip_norm)
        optimizer.step()
        entries.scatter()
        losses[step] = float(loss.detach())
        if on_progress is not None:
            on_progress(1)
    return losses


def _row_batches(n: int, recipe: TrainingRecipe) -> Any:
    """Endless batches of row numbers: a new order every pass."""
    rng = np.random.default_rng(recipe.seed)
    order = np.empty(0, dtype=np.int64)
    while True:
        while len(order) < recipe.batch_size:
            order = np.concatenate([order, rng.permutation(n)])
        chosen, order = order[: recipe.batch_size], order[recipe.batch_size :]
        yield torch.from_numpy(chosen)


def _old_log_probs(
    trained: TrainableModel, texts: RewardedTexts, *, batch_size: int
) -> Float[Tensor, "texts pos"]:
    device = next(trained.model.parameters()).device
    with torch.no_grad():
        pieces = [
            answer_log_probs(
                trained.model,
                texts.tokens[start : start + batch_size].to(device),
                texts.answer[start : start + batch_size].to(device),
            ).cpu()
            for start in range(0, len(texts), batch_size)
        ]
    return torch.cat(pieces)


def _rewards(
    row: Mapping[str, Any], column: str, n: int, *, right: bool, number: int
) -> list[float]:
    found = row.get(column)
    if not isinstance(found, list) or len(found) != n:
        raise BadInput(
            f"pair {number} has no {column} for its {n} tokens: score the pairs with "
            "`interp ability reward` first"
        )
    return token_rewards(torch.tensor([found]), torch.tensor([right]))[0].tolist()


def _laid_out(values: list[list[float]], answer: Bool[Tensor, "texts pos"]) -> Tensor:
    """One number a token, put where the answers are."""
    flat = torch.tensor([value for text in values for value in text])
    return torch.zeros(answer.shape).masked_scatter(answer, flat)


def _read(path: Path) -> list[dict[str, Any]]:
    read_pairs(path)
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
