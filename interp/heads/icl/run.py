"""Measure the levels of in-context learning of one model or of every checkpoint of a series."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from interp.corpus.sources import Packing, open_corpus
from interp.heads.icl.asking import ask
from interp.heads.icl.levels import AskedTask, LevelCurves, Said
from interp.heads.icl.loss_reduction import (
    Window,
    scaled_windows,
    whole_sequences,
    window_losses,
)
from interp.heads.icl.prompts import SHOTS, PromptSet, make_prompts, no_prompts
from interp.heads.icl.tasks import Tasks, open_tasks
from interp.models.context import context_of, length_within, refuse_beyond_context
from interp.models.hub import directory_of
from interp.models.identity import model_hash
from interp.models.reference import resolve_series, split_step, step_directories
from interp.models.series import Checkpoint, checkpoints
from interp.models.tokenizer import tokenizer_facts
from interp.models.trainable import prompt_tokenizer, read_decoder, refuse_no_decoder
from interp.results.errors import BadInput, Mismatch
from interp.results.hashing import sha256_json
from interp.results.progress import progress
from interp.results.provenance import Provenance

PAPER_SEQUENCES = 100


class Text(NamedTuple):
    """What the loss along a text is measured on."""

    tokens: Int[np.ndarray, "sequences pos"]
    windows: tuple[Window, ...]
    hash: str


def measure_levels(
    model: str,
    tasks: Tasks | Path | str | None = None,
    *,
    text: Path | str | None = None,
    steps: Sequence[int] | None = None,
    shots: Sequence[int] = SHOTS,
    n_prompts: int = 200,
    length: int | None = None,
    packing: Packing = "document",
    n_sequences: int = PAPER_SEQUENCES,
    seed: int = 0,
    device: str = "cpu",
    command: str = "interp.measure_levels",
) -> LevelCurves:
    """Format compliance and pattern discovery over shots, and loss reduction where text is given.

    `model` with checkpoints on disk, or with `steps`, is followed over them; `MODEL@STEP` is one
    of them. `tasks`: a file, or the English tasks; where no file is given and the English tasks
    cannot be asked of this model, loss reduction alone is measured. `text` is read in sequences of
    `length`: 501, or the context if that is shorter. Every checkpoint gets the same prompts and
    sequences.

    Raises BadInput for too few words that are one token, for prompts beyond the context and for
    text too short; Mismatch for a series with several tokenizers.
    """
    if n_prompts < 1 or n_sequences < 1:
        raise BadInput(f"{n_prompts} prompts and {n_sequences} sequences: at least 1 of each")
    opened = open_tasks(tasks)
    series = members(model, steps)
    directories = [directory_of(c.ref, revision=c.revision) for c in series]
    for directory in directories:
        refuse_no_decoder(directory)
    _refuse_other_tokenizers(directories, series)
    read = None if text is None else _read(text, directories[0], length, packing, n_sequences)
    prompts, unasked = _asked(
        directories[0], opened, instead=tasks is None and read is not None,
        shots=shots, n_prompts=n_prompts, seed=seed,
    )  # fmt: skip
    found = _followed(directories, series, prompts, read, device)
    hashes = tuple(model_hash(directory) for directory in directories)
    own, shuffled, loss = zip(*found, strict=True)
    return LevelCurves(
        models=tuple(member.ref for member in _named(series, model)),
        steps=tuple(member.step for member in _named(series, model)),
        model_hashes=hashes,
        tasks=asked_tasks(prompts),
        shots=prompts.shots,
        said=Said.stacked(list(own)),
        shuffled=Said.stacked(list(shuffled)),
        windows=() if read is None else read.windows,
        loss=np.stack(loss),
        provenance=Provenance.collect(
            command,
            model_hash=hashes[-1],
            corpus_hash=sha256_json([prompts.hash, None if read is None else read.hash]),
            seed=seed,
            settings={
                "tasks": opened.hash if prompts.tasks else None,
                "tasks_not_asked": unasked,
                "shots": list(prompts.shots),
                "n_prompts": prompts.n_prompts,
                "length": None if read is None else int(read.tokens.shape[1]),
                "packing": packing,
                "n_sequences": 0 if read is None else len(read.tokens),
                "model_hashes": list(hashes),
                "device": device,
            },
        ),
    )


def _asked(
    directory: Path,
    tasks: Tasks,
    *,
    instead: bool,
    shots: Sequence[int],
    n_prompts: int,
    seed: int,
) -> tuple[PromptSet, str | None]:
    """The prompts; with something else to measure `instead`, none, and why they cannot be asked."""
    d_vocab = _d_vocab(directory)
    try:
        return make_prompts(
            tasks,
            prompt_tokenizer(directory),
            d_vocab=d_vocab,
            shots=shots,
            n_prompts=n_prompts,
            seed=seed,
            context=context_of(directory),
        ), None
    except BadInput as error:
        if not instead or min(shots, default=-1) < 0:
            raise
        return no_prompts(shots, d_vocab), str(error)


def asked_tasks(prompts: PromptSet) -> tuple[AskedTask, ...]:
    """What is kept of each task: its labels, baselines and how many words it drew from."""
    found = []
    for task, gold, allowed in zip(prompts.tasks, prompts.gold, prompts.in_format, strict=True):
        (_, commonest), *_ = Counter(gold.tolist()).most_common(1)
        found.append(
            AskedTask(
                name=task.task.name,
                kind=task.task.kind,
                labels=task.task.labels,
                chance=1 / len(task.task.labels),
                majority=commonest / len(gold),
                format_chance=float(allowed.mean()),
                n_words=task.n_words,
                n_given=task.n_given,
            )
        )
    return tuple(found)


class Member(NamedTuple):
    """A checkpoint by the name it goes under; `step` None for a model of no series."""

    ref: str
    step: int | None


def members(model: str, steps: Sequence[int] | None) -> list[Checkpoint]:
    """The checkpoints to follow: those of a series on disk, or `steps`, or the model alone.

    Raises BadInput for a step that is not there.
    """
    if steps is None and not _is_local_series(model):
        return [Checkpoint(step=-1, ref=model, revision=None)]
    found = checkpoints(model)
    if steps is None:
        return found
    missing = sorted(set(steps) - {checkpoint.step for checkpoint in found})
    if missing:
        there = ", ".join(str(checkpoint.step) for checkpoint in found)
        raise BadInput(f"{model} has no step {missing[0]}: it has {there}")
    return [checkpoint for checkpoint in found if checkpoint.step in set(steps)]


def _is_local_series(model: str) -> bool:
    if split_step(model)[1] is not None:
        return False
    path = resolve_series(model).path
    return path is not None and len(step_directories(path)) > 0


def _named(series: Sequence[Checkpoint], model: str) -> list[Member]:
    if len(series) == 1 and series[0].step < 0:
        return [Member(model, split_step(model)[1])]
    return [Member(f"{model}@{checkpoint.step}", checkpoint.step) for checkpoint in series]


def _followed(
    directories: Sequence[Path],
    series: Sequence[Checkpoint],
    prompts: PromptSet,
    text: Text | None,
    device: str,
) -> list[tuple[Said, Said, Float64[np.ndarray, "windows 3 sequences"]]]:
    found = []
    total = len(directories) * len(prompts.ids) * prompts.n_prompts
    with progress("asking", total=total, unit="prompts") as advance:
        for directory, member in zip(directories, series, strict=True):
            asked: Any = read_decoder(directory, device=device)
            own, shuffled = ask(asked, prompts, advance=advance)
            loss = (
                np.zeros((0, 3, 0))
                if text is None
                else window_losses(asked, text.tokens, text.windows)
            )
            found.append((own, shuffled, loss))
            if len(series) > 1:
                advance(0, step=member.step)
    return found


def _read(text: Path | str, directory: Path, length: int | None, packing: Packing, n: int) -> Text:
    # One more than what is predicted: the first token of a row is only read.
    length = length_within(directory, length, default=501)
    refuse_beyond_context(directory, length)
    if length < 4:
        raise BadInput(f"length {length}: early and late tokens take at least 4")
    corpus = open_corpus(text, directory, length=length, packing=packing)
    return Text(whole_sequences(corpus, n), scaled_windows(length - 1), corpus.hash)


def _refuse_other_tokenizers(directories: Sequence[Path], series: Sequence[Checkpoint]) -> None:
    digests = [tokenizer_facts(directory).digest for directory in directories]
    for digest, member in zip(digests, series, strict=True):
        if digest != digests[0]:
            raise Mismatch(
                f"step {member.step} has another tokenizer than step {series[0].step}: the same "
                "prompts cannot be put to both"
            )


def _d_vocab(directory: Path) -> int:
    from transformers import AutoConfig

    return int(AutoConfig.from_pretrained(str(directory), local_files_only=True).vocab_size)
