"""What a model is, from its files alone: the card of a bundled one, the facts of any directory."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from interp.models.architectures import ARCHITECTURES, architecture_of, read_config
from interp.models.identity import model_identity
from interp.models.reference import BUNDLED
from interp.models.tokenizer import TokenizerFacts, read_json, tokenizer_facts
from interp.results.errors import BadInput
from interp.results.intervals import Interval

_SHIPPED_DTYPE = "float16"

# The same size under the names that configs give it.
_SIZES = {
    "n_layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "n_decoder_layers": ("num_decoder_layers",),
    "d_model": ("hidden_size", "n_embd", "d_model"),
    "n_heads": ("num_attention_heads", "n_head", "num_heads"),
    "n_kv_heads": ("num_key_value_heads",),
    "d_mlp": ("intermediate_size", "n_inner", "d_ff"),
    "n_experts": ("num_local_experts", "num_experts"),
    "d_vocab": ("vocab_size",),
    "n_ctx": ("max_position_embeddings", "n_positions"),
}


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """A share of right answers, its 95% interval and the number of questions."""

    interval: Interval
    n: int


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """A bundled model: its variants, and how well each does what."""

    name: str
    summary: str
    chance: float | None
    """Accuracy of guessing."""
    prompts: tuple[tuple[str, str], ...]
    """What a person can type, and the answer."""
    variants: dict[str, str]
    """Variant -> what it is."""
    accuracy: dict[str, dict[str, dict[str, Accuracy]]]
    """Task -> variant -> group, for the weights as shipped."""
    content: dict[str, Any]
    """The whole card, recipe included."""


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """A model directory, from its config, its tokenizer files and its safetensors headers."""

    name: str
    architecture: str
    family: str
    sizes: dict[str, int]
    n_parameters: int
    """Entries of all tensors on disk; a tied head counts once."""
    dtype: str
    tied: tuple[tuple[str, str], ...]
    root: str
    """Hash of all tensors, whatever the sharding."""
    tokenizer: TokenizerFacts

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def read_card(family: str) -> ModelCard:
    """The card of a bundled family, as `polyglot`; BadInput if there is none of that name."""
    path = BUNDLED / family / "card.json"
    if not path.is_file():
        known = ", ".join(sorted(card.parent.name for card in BUNDLED.glob("*/card.json")))
        raise BadInput(f"no bundled model {family!r}: there is {known}")
    content = read_json(path)
    return ModelCard(
        name=content["name"],
        summary=content["summary"],
        chance=content.get("chance"),
        prompts=tuple((entry["prompt"], entry["answer"]) for entry in content["prompts"]),
        variants={name: variant["what"] for name, variant in content["variants"].items()},
        accuracy=_accuracy_tables(content["variants"]),
        content=content,
    )


def model_facts(directory: Path, *, name: str) -> ModelFacts:
    """Facts about a model directory; reads every byte once for the hash, and loads no weight."""
    architecture = architecture_of(directory)
    config = read_config(directory)
    identity = model_identity(directory)
    return ModelFacts(
        name=name,
        architecture=architecture,
        family=ARCHITECTURES[architecture],
        sizes={size: config[key] for size, key in _present_sizes(config)},
        n_parameters=identity.n,
        dtype=identity.dtype,
        tied=identity.tied,
        root=identity.root,
        tokenizer=tokenizer_facts(directory),
    )


def _present_sizes(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for size, keys in _SIZES.items():
        key = next((k for k in keys if isinstance(config.get(k), int)), None)
        if key is not None:
            yield size, key


def _accuracy_tables(
    variants: Mapping[str, Any],
) -> dict[str, dict[str, dict[str, Accuracy]]]:
    tables: dict[str, dict[str, dict[str, Accuracy]]] = {}
    for name, variant in variants.items():
        for task, groups in variant["accuracy"][_SHIPPED_DTYPE].items():
            tables.setdefault(task, {})[name] = {g: _accuracy(a) for g, a in groups.items()}
    return tables


def _accuracy(entry: Mapping[str, Any]) -> Accuracy:
    return Accuracy(
        interval=Interval(entry["value"], entry["low"], entry["high"]), n=int(entry["n"])
    )
