"""A decoder as a plain transformers model in float32, to train, score or swap weights in."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from interp.models.architectures import ARCHITECTURES, architecture_of
from interp.models.tokenizer import load_tokenizer
from interp.models.weight_files import TensorSpan, locate_tensors
from interp.results.atomic import atomic_directory
from interp.results.errors import CorruptFile, Unsupported

_COMPANIONS = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "generation_config.json", ".model", ".jinja"),
)


@dataclass(frozen=True, kw_only=True)
class TrainableModel:
    """A decoder, its tokenizer and where it came from."""

    model: PreTrainedModel
    """float32, attention by sdpa, no dropout."""
    directory: Path
    parameters: dict[str, nn.Parameter]
    """By the tensor names of the files; tied tensors once."""
    embeddings: frozenset[str]
    """Names of the embedding, unembedding and position tables."""

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the directory. Raises Unsupported where it has none."""
        return prompt_tokenizer(self.directory)


def prompt_tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model directory. Raises Unsupported where it has none."""
    found = load_tokenizer(directory)
    if found is None:
        raise Unsupported(f"{directory} has no tokenizer, and prompts are text")
    return found


def read_trainable(directory: Path, *, device: str = "cpu") -> TrainableModel:
    """The decoder in `directory`, in float32 whatever it is stored in, on `device` (as `load`).

    Raises Unsupported unless it is a decoder we load whose parameters are the tensors of its files,
    CorruptFile if tensors are missing.
    """
    model = read_decoder(directory, device=device)
    parameters = _named_as_in_files(model, directory)
    return TrainableModel(
        model=model,
        directory=directory,
        parameters=parameters,
        embeddings=_embeddings(model, parameters),
    )


def read_decoder(directory: Path, *, device: str = "cpu") -> PreTrainedModel:
    """The same model to be asked alone: its parameters need not be tensors of the files.

    Raises Unsupported unless it is a decoder we load, CorruptFile if tensors are missing.
    """
    architecture = refuse_no_decoder(directory)
    config = AutoConfig.from_pretrained(str(directory), local_files_only=True)
    try:
        with _quietly():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                str(directory),
                config=config,
                dtype=torch.float32,
                attn_implementation="sdpa",
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CorruptFile(f"{directory} does not load as a {architecture}: {first}") from error
    model, report = loaded
    if report["missing_keys"]:
        raise CorruptFile(f"{directory} lacks the tensor {sorted(report['missing_keys'])[0]!r}")
    return model.eval().to(_place(device))


def refuse_no_decoder(directory: Path) -> str:
    """The architecture of a decoder; Unsupported, before any weight is read, for another model."""
    architecture = architecture_of(directory)
    if ARCHITECTURES[architecture] != "decoder":
        raise Unsupported(f"{directory} is a {architecture}: a decoder is expected")
    return architecture


@contextmanager
def write_trained(trained: TrainableModel, out: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Write the model as float32 to the Hugging Face directory `out`, whole or not at all.

    Tokenizer and generation settings of the source directory come along. What is added to the
    yielded directory is part of it.
    """
    with atomic_directory(out, replace=overwrite) as directory:
        with _quietly():
            trained.model.save_pretrained(directory)
        for file in trained.directory.iterdir():
            there = (directory / file.name).exists()
            if file.is_file() and not there and file.name.endswith(_COMPANIONS):
                shutil.copyfile(file, directory / file.name)
        yield directory


def _place(device: str) -> torch.device:
    if device == "cpu":
        return torch.device("cpu")
    # Brings the bridge along, which takes seconds to import and is not needed otherwise.
    from interp.models.load import resolve_device

    return resolve_device(device)


def _named_as_in_files(model: PreTrainedModel, directory: Path) -> dict[str, nn.Parameter]:
    """Parameters under the names in the files.

    Transformers renames some tensors when it loads them (a bare trunk gains a prefix, GPT-NeoX's
    `embed_out` becomes `lm_head`): those are known again by their values.
    """
    spans = locate_tensors(directory)
    prefix = f"{model.base_model_prefix}."
    named, unnamed = {}, {}
    for name, parameter in model.named_parameters():
        found = next((n for n in (name, name.removeprefix(prefix)) if n in spans), None)
        if found is None:
            unnamed[name] = parameter
        else:
            named[found] = parameter
    for name, parameter in unnamed.items():
        same = [n for n in spans.keys() - named.keys() if _holds(spans[n], n, parameter)]
        if len(same) != 1:
            raise Unsupported(
                f"{directory} stores no tensor {name!r}: transformers rearranges this "
                "architecture's weights when it loads them, so its entries cannot be named"
            )
        named[same[0]] = parameter
    return named


def _holds(span: TensorSpan, name: str, parameter: nn.Parameter) -> bool:
    if span.shape != tuple(parameter.shape):
        return False
    with safe_open(span.file, framework="pt") as file:
        return torch.equal(file.get_tensor(name).float(), parameter.detach().cpu())


def _embeddings(model: PreTrainedModel, parameters: dict[str, nn.Parameter]) -> frozenset[str]:
    """Tables with a row a token or a position: no matrices that a layer computes with."""
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    with suppress(NotImplementedError):
        head = model.get_output_embeddings()
        if head is not None:
            tables.add(id(head.weight))
    return frozenset(name for name, parameter in parameters.items() if id(parameter) in tables)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' own bars and reports: ours say what is done."""
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
