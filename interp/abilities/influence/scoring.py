"""Score every training example by its influence on an ability: model and files in, scores out."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from interp.abilities.influence.adam import (
    AdamForm,
    Direction,
    Moments,
    adam_direction,
    read_moments,
)
from interp.abilities.influence.cosines import checkpoint_weights, scores_of, unit_vectors
from interp.abilities.influence.gradients import GradientVectors, exact_gradients
from interp.abilities.influence.influence import Form, Influence
from interp.abilities.influence.rows import EncodedRow, batches_of, encode_row, read_rows
from interp.abilities.influence.sketches import (
    DIM,
    sketch_side,
    sketched_gradients,
    sketched_steps,
)
from interp.abilities.influence.validation import Validation, read_validation
from interp.abilities.influence.warm_up import mean_rates, train_with_checkpoints
from interp.abilities.training.masked_training import TrainingRecipe
from interp.models.examples import DEFAULT_LENGTH, TrainingExamples, encode_examples
from interp.models.hub import directory_of
from interp.models.identity import model_hash
from interp.models.trainable import TrainableModel, read_trainable
from interp.results.errors import BadInput
from interp.results.hashing import sha256_bytes, sha256_json
from interp.results.progress import progress
from interp.results.provenance import Provenance

EXACT_UP_TO = 10_000_000
"""Parameters whose gradients are compared entry by entry; above, they are sketched."""


def influence_of(
    base: str | Path,
    train: str | Path,
    validation: str | Path,
    *,
    form: Form = "sgd",
    subtask: str = "task",
    sketch: int | None = None,
    warm_up: TrainingRecipe | None = None,
    checkpoints: int = 4,
    optimizer_state: str | Path | None = None,
    adam: AdamForm | None = None,
    shuffles: int = 5,
    length: int = DEFAULT_LENGTH,
    seed: int = 0,
    device: str = "cpu",
) -> Influence:
    """How much every line of `train` drives what `validation` asks (LESS, arXiv 2402.04333, §4).

    The gradients are those of the base, or of `checkpoints` points of a short training of it on
    random lines of `train`, weighted by their mean learning rates. Validation gradients are plain
    ones; a training example's is plain (`sgd`) or Adam's step with it (`adam`), whose moments come
    from `warm_up` or from `optimizer_state`. Validation lines with one value of the field `subtask`
    are averaged; the score is the largest over them. Gradients are those of the linear maps inside
    the layers: exact up to 10 million parameters; above, or with `sketch` dimensions, sketched.
    Training lines are streamed: memory holds the model, and of the validation set 8 + `shuffles`
    vectors for every sub-task. All numbers are float32.

    The null needs answers that differ: where all are one, shuffling changes nothing and no example
    stands out. Raises BadInput for a line that cannot be learnt from, and for `adam` without
    moments.
    """
    adam = adam or AdamForm()
    _check_request(form=form, warm_up=warm_up, state=optimizer_state, shuffles=shuffles, adam=adam)
    directory, train = directory_of(base), Path(train)
    if warm_up is not None:
        warm_up = replace(warm_up, freeze_embeddings=True)
    trained = read_trainable(directory, device=device)
    tokenizer = trained.tokenizer()
    tensors = {
        name: trained.parameters[name]
        for name in sorted(trained.parameters)
        if name not in trained.embeddings
    }
    if sketch is None and sum(p.numel() for p in tensors.values()) > EXACT_UP_TO:
        sketch = DIM
    settings = {
        "form": form,
        "subtask": subtask,
        "sketch": sketch,
        "warm_up": None if warm_up is None else asdict(warm_up),
        "checkpoints": checkpoints if warm_up is not None else 1,
        "adam": asdict(adam) if form == "adam" else None,
        "shuffles": shuffles,
        "length": length,
    }
    corpus = _Corpus.read(train)
    rng = np.random.default_rng(seed)
    held = read_validation(
        Path(validation), tokenizer, subtask=subtask, shuffles=shuffles, length=length, rng=rng
    )
    weights = (1.0,) if warm_up is None else checkpoint_weights(mean_rates(warm_up, checkpoints))
    total = len(weights) * (corpus.n_rows + held.n_rows)
    with progress("measuring influence", total=total, unit="examples") as advance:
        measuring = _Measuring(
            trained.model, tensors, tokenizer, train, held, sketch, length, seed, advance
        )
        if warm_up is None:
            direction = None
            if form == "adam":
                moments = read_moments(Path(optimizer_state or ""), tensors)
                direction = adam_direction(moments, adam)
            cosines = measuring.cosines(direction)
        else:
            cosines = _over_checkpoints(
                trained,
                measuring,
                corpus.sample(tokenizer, warm_up, rng, length=length),
                recipe=warm_up,
                weights=weights,
                adam=adam if form == "adam" else None,
            )
    used = measuring.vectors(None).tensors
    scores = scores_of(cosines, held.parts)
    return Influence(
        **scores._asdict(),
        row=corpus.numbers,
        hash=corpus.hashes,
        n_tokens=np.array(measuring.n_tokens, dtype=np.int64),
        subtasks=held.subtasks,
        n_validation=held.n_by_subtask,
        form=form,
        n_parameters=sum(tensors[name].numel() for name in used),
        dim=None if sketch is None else sketch_side(sketch) ** 2,
        left_out=tuple(sorted(set(trained.parameters) - set(used))),
        checkpoint_weights=weights,
        provenance=Provenance.collect(
            "interp ability influence",
            model_hash=model_hash(directory),
            corpus_hash=sha256_json([corpus.hash, held.hash]),
            seed=seed,
            settings=settings,
        ),
    )


def _check_request(
    *,
    form: Form,
    warm_up: TrainingRecipe | None,
    state: str | Path | None,
    shuffles: int,
    adam: AdamForm,
) -> None:
    if form not in ("sgd", "adam"):
        raise BadInput(f"form {form!r}: expected sgd or adam")
    if adam.adam_epsilon not in ("inside", "outside"):
        raise BadInput(f"adam epsilon {adam.adam_epsilon!r}: expected inside or outside")
    if form == "adam" and (warm_up is None) == (state is None):
        raise BadInput(
            "adam's steps need an optimizer's moments: give a warm-up training (--steps 100) or "
            "one --optimizer-state, not both"
        )
    if form == "sgd" and state is not None:
        raise BadInput("--optimizer-state is for --form adam: leave it out, or choose adam")
    if shuffles < 1:
        raise BadInput(f"{shuffles} shuffles: a score needs its null, give 1 or more")


@dataclass(frozen=True)
class _Corpus:
    """What is known of a training file without its text."""

    path: Path
    numbers: np.ndarray
    hashes: np.ndarray

    @classmethod
    def read(cls, path: Path) -> "_Corpus":
        numbers, hashes = [], []
        for row in read_rows(path):
            numbers.append(row.number)
            hashes.append(np.frombuffer(row.hash, dtype=np.uint8))
        if not numbers:
            raise BadInput(f"{path} is empty: there is no example to score")
        return cls(path, np.array(numbers, dtype=np.int64), np.stack(hashes))

    @property
    def n_rows(self) -> int:
        return len(self.numbers)

    @property
    def hash(self) -> str:
        return sha256_bytes(self.hashes.tobytes())

    def sample(
        self,
        tokenizer: PreTrainedTokenizerBase,
        recipe: TrainingRecipe,
        rng: np.random.Generator,
        *,
        length: int,
    ) -> TrainingExamples:
        """As many random lines as the training has places for, each once."""
        wanted = min(self.n_rows, recipe.steps * recipe.batch_size)
        chosen = set(rng.choice(self.n_rows, size=wanted, replace=False).tolist())
        rows = (row.content for index, row in enumerate(read_rows(self.path)) if index in chosen)
        return encode_examples(list(rows), tokenizer, length=length)


@dataclass
class _Measuring:
    """Cosines of all training lines with all parts of the validation set, at the model's state."""

    model: nn.Module
    tensors: dict[str, nn.Parameter]
    tokenizer: PreTrainedTokenizerBase
    train: Path
    validation: Validation
    sketch: int | None
    length: int
    seed: int
    advance: Callable[..., None]
    n_tokens: tuple[int, ...] = ()

    def vectors(self, direction: Direction | None) -> GradientVectors:
        """Exact or sketched, of gradients or of steps."""
        if self.sketch is None:
            return exact_gradients(self.model, self.tensors, direction=direction)
        asked: dict[str, Any] = {"dim": self.sketch, "seed": self.seed}
        if direction is None:
            return sketched_gradients(self.model, self.tensors, **asked)
        return sketched_steps(self.model, self.tensors, direction, **asked)

    def cosines(self, direction: Direction | None) -> Float32[np.ndarray, "examples parts"]:
        """One pass over the validation set and one over the training file."""
        gradients = self.vectors(None)
        references = torch.stack([self._mean_of(gradients, rows) for rows in self.validation.rows])
        steps = gradients if direction is None else self.vectors(direction)
        found, n_tokens = [], []
        for rows, units in self._units(steps, self._training()):
            found.append((units @ references.T).cpu().numpy())
            n_tokens += [row.n_targets for row in rows]
        self.n_tokens = tuple(n_tokens)
        return np.concatenate(found)

    def _mean_of(self, gradients: GradientVectors, rows: list[EncodedRow]) -> Tensor:
        total: Tensor | None = None
        for _, units in self._units(gradients, iter(rows)):
            part = units.sum(0)
            total = part if total is None else total + part
        assert total is not None
        return total / len(rows)

    def _training(self) -> Iterator[EncodedRow]:
        for row in read_rows(self.train):
            yield encode_row(row, self.tokenizer, length=self.length)

    def _units(
        self, gradients: GradientVectors, rows: Iterator[EncodedRow]
    ) -> Iterator[tuple[list[EncodedRow], Tensor]]:
        for taken, batch in batches_of(rows, gradients.batch_size):
            found = gradients.of(batch).detach()
            finite = torch.isfinite(found).all(1)
            if not bool(finite.all()):
                line = taken[int((~finite).nonzero()[0])].row.number
                raise BadInput(f"the gradient of line {line} is not finite: leave it out")
            yield taken, unit_vectors(found)
            self.advance(len(taken))


def _over_checkpoints(
    trained: TrainableModel,
    measuring: _Measuring,
    examples: TrainingExamples,
    *,
    recipe: TrainingRecipe,
    weights: tuple[float, ...],
    adam: AdamForm | None,
) -> np.ndarray:
    """The weighted sum of the cosines of every checkpoint; the model is trained in place."""
    total: list[np.ndarray] = []

    def measure(number: int, moments: Moments) -> None:
        direction = None if adam is None else adam_direction(moments, adam)
        part = weights[number] * measuring.cosines(direction).astype(np.float64)
        total[:] = [part if not total else total[0] + part]

    train_with_checkpoints(
        trained, examples, recipe=recipe, checkpoints=len(weights), at_checkpoint=measure
    )
    return total[0]
