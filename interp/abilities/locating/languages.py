"""Languages: find the neurons of several languages, the chance of it, and what zeroing them costs.

Rates are over four fifths of the documents, dealt to blocks so that whole documents can be
permuted among languages; the loss of languages is read on the held-out fifth.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from transformers import PreTrainedTokenizerBase

from interp.abilities.locating.activation_rates import ActiveCounts, active_counts
from interp.abilities.locating.hard_mask import masked_loss
from interp.abilities.locating.language_finding import LanguageFinding
from interp.abilities.locating.language_neurons import (
    PERCENTILE,
    SHARE,
    check_rates,
    language_neurons,
    permuted_languages,
)
from interp.abilities.locating.mask_made import mask_of
from interp.abilities.locating.sites import sites_of
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.units.unit_choice import UnitChoice
from interp.abilities.units.unit_selection import selection_of
from interp.abilities.units.units import layout_of
from interp.corpus.documents import Source
from interp.corpus.files import file_source
from interp.models.examples import DEFAULT_LENGTH, TrainingExamples, encode_examples
from interp.models.hub import directory_of
from interp.models.identity import model_identity
from interp.models.trainable import TrainableModel, read_trainable
from interp.results.errors import BadInput
from interp.results.hashing import sha256_json
from interp.results.progress import progress
from interp.results.provenance import Provenance

BLOCKS = 20
"""Blocks of documents a language that rates are counted in."""
HELD_OUT = 5
"""Blocks more that no rate sees."""
MOST_HELD_OUT = 200
"""Documents a language at most that losses are read on."""
_WINDOW = 40 * (BLOCKS + HELD_OUT)

Zeroed = Bool[np.ndarray, "layer neuron"]


class HeldOut(NamedTuple):
    """Documents of one language that no rate was counted on."""

    examples: TrainingExamples
    n_characters: int


class LanguageCounts(NamedTuple):
    """On how many tokens every neuron is on, by language and block of documents."""

    active: Int[np.ndarray, "language block layer neuron"]
    n_tokens: Int[np.ndarray, "language block"]
    held_out: list[HeldOut]


class Deactivation(NamedTuple):
    """Bits a character on every language's held-out documents (the last axis)."""

    whole: Float[np.ndarray, " language"]
    ablated: Float[np.ndarray, "language language"]
    """A row for each language whose neurons are at zero."""
    random: Float[np.ndarray, "random_draws language language"]
    """The same with random neurons, as many in every layer."""


@dataclass(frozen=True, kw_only=True)
class LanguageMasks:
    """The finding, and each language's neurons as a mask of the model's entries."""

    finding: LanguageFinding
    masks: dict[str, NeuronMask]


def find_languages(
    base: str | Path,
    texts: Mapping[str, str | Path],
    *,
    share: float = SHARE,
    percentile: float = PERCENTILE,
    length: int = DEFAULT_LENGTH,
    draws: int = 200,
    random_draws: int = 5,
    seed: int = 0,
    device: str = "cpu",
) -> LanguageMasks:
    """The neurons of every language by LAPE (arXiv 2402.16438), from a text file of each.

    Texts are .txt (a document a line), .jsonl or .parquet. `draws` permute the languages of
    documents, `random_draws` zero random neurons. Raises BadInput for fewer than two languages or
    25 documents of one.
    """
    check_rates(np.zeros((len(texts), 1, 1)))
    directory = directory_of(base)
    sources = open_texts(texts)
    trained = read_trainable(directory, device=device)
    read = read_languages(trained, sources, length=length)
    rates = read.active.sum(axis=1) / read.n_tokens.sum(axis=1)[:, None, None]
    found = language_neurons(rates, share=share, percentile=percentile)
    rng = np.random.default_rng(seed)
    null = permuted_languages(
        read.active, read.n_tokens, found, draws=draws, percentile=percentile, rng=rng
    )
    cost = deactivation(trained, found.member, read.held_out, random_draws=random_draws, rng=rng)
    identity = model_identity(directory)
    settings = {
        "languages": {name: source.digest for name, source in sources.items()},
        "share": share,
        "percentile": percentile,
        "length": length,
        "draws": draws,
        "random_draws": random_draws,
    }
    finding = LanguageFinding(
        languages=tuple(texts),
        share=share,
        percentile=percentile,
        bar=found.bar,
        threshold=None if math.isnan(found.threshold) else found.threshold,
        n_tokens=read.n_tokens.sum(axis=1),
        rates=rates,
        entropy=found.entropy,
        member=found.member,
        null_found=null.found,
        p_value=null.p_value,
        whole=cost.whole,
        ablated=cost.ablated,
        random=cost.random,
        n_characters=np.array([part.n_characters for part in read.held_out]),
        provenance=Provenance.collect(
            "interp ability languages",
            model_hash=identity.root,
            corpus_hash=sha256_json(settings["languages"]),
            seed=seed,
            settings=settings,
        ),
    )
    return LanguageMasks(finding=finding, masks=_masks(finding, directory, settings))


def open_texts(texts: Mapping[str, str | Path]) -> dict[str, Source]:
    """The documents of every language. Raises BadInput where there are too few to hold some out."""
    needed = BLOCKS + HELD_OUT
    sources = {n: file_source(Path(path), field="text", labels=()) for n, path in texts.items()}
    for name, source in sources.items():
        if source.n_documents is not None and source.n_documents < needed:
            raise BadInput(
                f"{texts[name]} has {source.n_documents} documents: {needed} or more of each "
                "language are needed, to permute them and to hold some out"
            )
    return sources


def read_languages(
    trained: TrainableModel, sources: Mapping[str, Source], *, length: int
) -> LanguageCounts:
    """Active neurons of every language by block, and the documents held out."""
    tokenizer = trained.tokenizer()
    total = sum(source.n_documents or 0 for source in sources.values())
    counted, held = [], []
    with progress("counting active neurons", total=total, unit="documents") as advance:
        for source in sources.values():
            documents = (str(document.content) for document in source.read(None))
            blocks, rest = _read(trained, documents, tokenizer, length, advance)
            counted.append(blocks)
            held.append(rest)
    return LanguageCounts(
        active=np.stack([[block.finish() for block in blocks] for blocks in counted]),
        n_tokens=np.array([[block.n_tokens for block in blocks] for blocks in counted]),
        held_out=held,
    )


def _masks(
    finding: LanguageFinding, directory: Path, settings: Mapping[str, Any]
) -> dict[str, NeuronMask]:
    """Each language's neurons as entries of the model."""
    layout, identity = layout_of(directory), model_identity(directory)
    choices = {
        name: UnitChoice(
            kind="neuron",
            layout=layout,
            chosen=own,
            ranked=np.ones_like(own),
            scores=-finding.entropy.astype(np.float32),
        )
        for name, own in zip(finding.languages, finding.member, strict=True)
    }
    return {
        name: mask_of(
            selection_of(choice),
            settings={"locator": "lape", "language": name, **settings},
            identity=identity,
            provenance=finding.provenance,
        )
        for name, choice in choices.items()
    }


def deactivation(
    trained: TrainableModel,
    member: Bool[np.ndarray, "language layer neuron"],
    held: Sequence[HeldOut],
    *,
    random_draws: int,
    rng: np.random.Generator,
) -> Deactivation:
    """What every language loses without each one's neurons, or without as many random ones."""
    drawn = [[rng.permuted(own, axis=1) for own in member] for _ in range(random_draws)]
    passes = len(held) * (1 + len(member) * (1 + random_draws))
    with progress("reading with neurons at zero", total=passes, unit="texts") as advance:

        def bits(zeroed: Zeroed) -> list[float]:
            found = []
            for part in held:
                loss = masked_loss(trained, part.examples, kind="neuron", kept=~zeroed)
                n_predicted = int(part.examples.target[:, 1:].sum())
                found.append(loss * n_predicted / math.log(2) / part.n_characters)
                advance(1)
            return found

        whole = np.array(bits(np.zeros_like(member[0])))
        ablated = np.array([bits(own) for own in member])
        random = np.array([[bits(own) for own in draw] for draw in drawn])
    shape = (random_draws, len(member), len(held))
    return Deactivation(whole, ablated, random.reshape(shape))


def _read(
    trained: TrainableModel,
    documents: Iterator[str],
    tokenizer: PreTrainedTokenizerBase,
    length: int,
    advance: Callable[..., None],
) -> tuple[list[ActiveCounts], HeldOut]:
    """Counts by block, and the held-out documents of one language, read in windows.

    Document i is of block i mod 25; the last five blocks are held out.
    """
    sites = sites_of(trained.model)
    blocks = [ActiveCounts(len(sites.layers), sites.d_mlp) for _ in range(BLOCKS)]
    held: list[str] = []
    while window := list(islice(documents, _WINDOW)):
        for number, block in enumerate(blocks):
            if texts := window[number :: BLOCKS + HELD_OUT]:
                block.merge(active_counts(trained, _encoded(texts, tokenizer, length)))
        for number in range(BLOCKS, BLOCKS + HELD_OUT):
            held += window[number :: BLOCKS + HELD_OUT]
        advance(len(window))
    kept = held[:MOST_HELD_OUT]
    return blocks, HeldOut(_encoded(kept, tokenizer, length), sum(len(text) for text in kept))


def _encoded(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, length: int
) -> TrainingExamples:
    return encode_examples([{"text": text} for text in texts], tokenizer, length=length)
