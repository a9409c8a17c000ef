"""Measure the side effects of edits: ask items, read text, compare weights, one edit at a time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from interp.abilities.effects.answer_language import wrong_languages
from interp.abilities.effects.harm import harms_of, target_cells
from interp.abilities.effects.side_effects import SideEffects, TextEffect, WeightChange
from interp.abilities.effects.text_effect import LENGTH, BySequence, measure_text, text_effect
from interp.abilities.effects.weight_change import weight_change
from interp.corpus import Corpus, open_corpus
from interp.evaluation.answering import Advance, answer_items, check_askable
from interp.evaluation.answers import Answers
from interp.evaluation.evaluate import cells_of, directory_of, distinct, evaluation_of
from interp.evaluation.items import Item, gather_items, items_hash
from interp.evaluation.protocol import Protocol
from interp.models.identity import model_hash
from interp.models.tokenizer import tokenizer_digest
from interp.models.trainable import prompt_tokenizer, read_decoder
from interp.results.errors import BadInput, Mismatch
from interp.results.progress import progress
from interp.results.provenance import Provenance


def side_effects(
    base: str,
    edited: Sequence[str],
    items: Sequence[Path] | Sequence[Item],
    *,
    text: Path | None = None,
    ability_task: str | None = None,
    targets: Sequence[str] = (),
    protocol: Protocol | None = None,
    split: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    batch_size: int = 256,
) -> SideEffects:
    """What every edited model does differently from `base`: a report with its nulls.

    `ability_task` in `targets` is what the edit was made for; all other cells count as harm.
    `text` is a file of neutral text, its documents in lines. The base and one edited model are held
    at a time. `seed` draws exchanges and bootstraps. Raises Mismatch for models with other
    tokenizers where a text is given.
    """
    protocol = protocol or Protocol()
    asked = gather_items(items, split=split)
    check_askable(asked, protocol)
    if not edited:
        raise BadInput("no edited model: give one or several beside the base")
    wanted = target_cells(cells_of(asked, protocol), ability_task=ability_task, targets=targets)
    directories = [directory_of(model) for model in (base, *edited)]
    if text is not None:
        _check_tokenizers(directories)
    names = distinct((base, *edited))
    measuring = _Measuring(
        asked, protocol, text=text, device=device, batch_size=batch_size, base=directories[0]
    )
    weights, notes = _weight_changes(names, directories)
    rng = np.random.default_rng(seed)
    with progress("answering", total=len(names) * len(asked), unit="answers") as advance:
        answers = [measuring.answers(measuring.base, directories[0], advance)]
        sums: list[BySequence] = []
        for directory in directories[1:]:
            model = read_decoder(directory, device=device)
            answers.append(measuring.answers(model, directory, advance))
            sums += measuring.on_text(model)
    hashes = [model_hash(directory) for directory in directories]
    provenance = Provenance.collect(
        "interp ability side-effects",
        model_hash=hashes[0],
        corpus_hash=items_hash(asked),
        seed=seed,
        settings={
            "protocol": protocol.to_json(),
            "split": split,
            "edited": hashes[1:],
            "targets": list(wanted),
            "text": None if measuring.corpus is None else measuring.corpus.hash,
        },
    )
    evaluation = evaluation_of(
        models=names,
        answers=answers,
        items=asked,
        protocol=protocol,
        seed=seed,
        provenance=provenance,
    )
    languages, untold = wrong_languages(evaluation, asked)
    return SideEffects(
        evaluation=evaluation,
        targets=wanted,
        harms=harms_of(evaluation, targets=wanted, rng=rng),
        weights=weights,
        texts=_text_effects(names[1:], sums, rng),
        languages=languages,
        notes=(*notes, *untold),
        by_sequence=_stacked(sums),
        provenance=provenance,
    )


class _Measuring:
    """The base held in memory, and what every model is asked."""

    def __init__(
        self,
        items: Sequence[Item],
        protocol: Protocol,
        *,
        text: Path | None,
        device: str,
        batch_size: int,
        base: Path,
    ) -> None:
        self.items = items
        self.protocol = protocol
        self.batch_size = batch_size
        self.base = read_decoder(base, device=device)
        self.tokenizer = prompt_tokenizer(base)
        self.corpus: Corpus | None = None
        if text is not None:
            room = getattr(self.base.config, "max_position_embeddings", None) or LENGTH
            self.corpus = open_corpus(
                text, str(base.absolute()), length=min(LENGTH, room), packing="document"
            )

    def answers(self, model: PreTrainedModel, directory: Path, advance: Advance) -> Answers:
        """What a model answers to every item, read by its own tokenizer."""
        return answer_items(
            model,
            prompt_tokenizer(directory),
            self.items,
            self.protocol,
            batch_size=self.batch_size,
            advance=advance,
        )

    def on_text(self, edited: PreTrainedModel) -> list[BySequence]:
        """The base and an edited model over the text; nothing without one."""
        if self.corpus is None:
            return []
        # A row of text has many positions, each with its logits: fewer rows than of items.
        rows = max(1, self.batch_size // 16)
        return [measure_text(self.base, edited, self.corpus, self.tokenizer, batch_size=rows)]


def _check_tokenizers(directories: Sequence[Path]) -> None:
    own = tokenizer_digest(directories[0])
    for directory in directories[1:]:
        if tokenizer_digest(directory) != own:
            raise Mismatch(
                f"{directory} has another tokenizer than {directories[0]}: their next-token "
                "distributions cannot be compared, leave the text out"
            )


def _weight_changes(
    names: Sequence[str], directories: Sequence[Path]
) -> tuple[tuple[WeightChange, ...], tuple[str, ...]]:
    changes, notes = [], []
    for name, directory in zip(names[1:], directories[1:], strict=True):
        try:
            changes.append(weight_change(directories[0], directory, name=name))
        except Mismatch as error:
            notes.append(f"Weights of {name}: not compared, {error}")
    return tuple(changes), tuple(notes)


def _text_effects(
    names: Sequence[str], sums: Sequence[BySequence], rng: np.random.Generator
) -> tuple[TextEffect, ...]:
    if not sums:
        return ()
    return tuple(text_effect(name, one, rng=rng) for name, one in zip(names, sums, strict=True))


def _stacked(sums: Sequence[BySequence]) -> dict[str, np.ndarray]:
    columns: dict[str, list[np.ndarray]] = {}
    for one in sums:
        for name, values in vars(one).items():
            columns.setdefault(name, []).append(values)
    return {name: np.stack(values) for name, values in columns.items()}
