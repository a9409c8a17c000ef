"""A model as a TransformerBridge: from a hub id, a directory, a bundled name or an HF object.

Attention is eager, so that its scores and patterns are there to be read. Weights come from
safetensors only, and no Python file of a model runs unless `trust_remote_code` says so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from weakref import WeakKeyDictionary

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from interp.models.architectures import ARCHITECTURES, Family, architecture_of, supported
from interp.models.hub import fetch
from interp.models.reference import ModelReference, resolve
from interp.models.t5_blocks import repair_t5_blocks
from interp.models.tokenizer import load_tokenizer
from interp.results.errors import BadInput, CorruptFile, Unsupported

_AUTO_CLASSES: dict[Family, Any] = {
    "decoder": AutoModelForCausalLM,
    "encoder": AutoModelForMaskedLM,
    "encoder-decoder": AutoModelForSeq2SeqLM,
}
_DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "float16": torch.float16,
    "fp16": torch.float16,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
}


@dataclass(frozen=True)
class _Origin:
    reference: ModelReference | None
    versions: tuple[int, ...]
    """Torch's edit counter of every parameter when it was loaded."""


_ORIGINS: WeakKeyDictionary[TransformerBridge, _Origin] = WeakKeyDictionary()


def load(
    ref: str | Path | PreTrainedModel,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str | torch.dtype = "float32",
    trust_remote_code: bool = False,
    tokenizer: PreTrainedTokenizerBase | Path | None = None,
) -> TransformerBridge:
    """A bridge in eval mode whose logits are those of transformers with eager attention.

    `ref`: a hub id, a directory, a bundled name, any of them with `@STEP`, or a model object,
    which the bridge takes over (its modules are wrapped in place, its dtype stays). `tokenizer`
    goes with a model object only. A model without tokenizer files has `bridge.tokenizer` None.
    `device="auto"` is CUDA where there is one, else the CPU.

    Raises Unsupported for an architecture we do not load, BadInput for what is not there,
    CorruptFile for files that do not hold what config.json says.
    """
    place = resolve_device(device)
    if isinstance(ref, PreTrainedModel):
        return _from_object(ref, tokenizer, place)
    if tokenizer is not None:
        raise BadInput("tokenizer= goes with a model object; a directory brings its own")
    reference = fetch(resolve(str(ref), revision=revision), trust_remote_code=trust_remote_code)
    directory = reference.path
    if directory is None:
        raise BadInput(f"{ref} has no files")
    architecture = architecture_of(directory)
    model = _read_weights(directory, architecture, resolve_dtype(dtype), trust_remote_code)
    own = load_tokenizer(directory, trust_remote_code=trust_remote_code)
    return _bridge(model, place, own, name=str(directory), reference=reference)


def reference_of(bridge: TransformerBridge) -> ModelReference | None:
    """Where `load` found this bridge's files; None for a model object or a foreign bridge."""
    origin = _ORIGINS.get(bridge)
    return origin.reference if origin else None


def unedited(bridge: TransformerBridge) -> bool:
    """Whether the weights are as loaded, by torch's edit counters (`.data` edits escape them)."""
    origin = _ORIGINS.get(bridge)
    return origin is not None and origin.versions == _versions(bridge)


def resolve_device(device: str) -> torch.device:
    """`device` as torch has it, `auto` resolved; BadInput if it is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise BadInput(f"{device!r} is no device: auto, cpu, cuda, cuda:1 or mps") from error
    available = {"cpu": 1, "cuda": torch.cuda.device_count()}
    if torch.backends.mps.is_available():
        available["mps"] = 1
    if (place.index or 0) >= available.get(place.type, 0):
        raise BadInput(f"device {device} is not on this machine: try auto or cpu")
    return place


def resolve_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """float32, float16 or bfloat16, by long or short name."""
    if isinstance(dtype, torch.dtype) and dtype in _DTYPES.values():
        return dtype
    if str(dtype) not in _DTYPES:
        raise BadInput(f"dtype {dtype!s}: give one of float32, float16, bfloat16")
    return _DTYPES[str(dtype)]


def auto_class(architecture: str) -> Any:
    """The transformers class that opens `architecture`."""
    return _AUTO_CLASSES[ARCHITECTURES[architecture]]


def _from_object(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | Path | None, place: torch.device
) -> TransformerBridge:
    name = supported(type(model).__name__, where="the model object")
    model.set_attn_implementation("eager")
    with TemporaryDirectory() as temporary:
        # The bridge reads a tokenizer again from its directory: one made in memory has none.
        if isinstance(tokenizer, PreTrainedTokenizerBase):
            tokenizer.save_pretrained(temporary)
            tokenizer = Path(temporary)
        own = load_tokenizer(tokenizer) if tokenizer else None
        return _bridge(model.eval(), place, own, name=name, reference=None)


def _read_weights(
    directory: Path, architecture: str, dtype: torch.dtype, trust_remote_code: bool
) -> PreTrainedModel:
    _require_safetensors(directory)
    try:
        config = AutoConfig.from_pretrained(
            str(directory), trust_remote_code=trust_remote_code, local_files_only=True
        )
        with _quietly():
            model, report = auto_class(architecture).from_pretrained(
                str(directory),
                config=config,
                dtype=dtype,
                attn_implementation="eager",
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                local_files_only=True,
                output_loading_info=True,
            )
    except Exception as error:  # safetensors, json and transformers each raise their own kinds
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CorruptFile(f"{directory} does not load as a {architecture}: {first}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise CorruptFile(
            f"{directory} lacks {len(missing)} tensors that a {architecture} has, the first are "
            f"{', '.join(missing[:3])}; transformers would fill them with random numbers"
        )
    return model.eval()


def _require_safetensors(directory: Path) -> None:
    if any(directory.glob("*.safetensors")):
        return
    pickled = sorted(path.name for path in directory.glob("pytorch_model*.bin"))
    if pickled:
        raise Unsupported(
            f"{directory} has its weights as pickle ({pickled[0]}), which can run code and is not "
            "read: convert it with `AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW)`"
        )
    raise BadInput(f"{directory} holds no *.safetensors: the weights are missing")


def _bridge(
    model: PreTrainedModel,
    place: torch.device,
    tokenizer: PreTrainedTokenizerBase | None,
    *,
    name: str,
    reference: ModelReference | None,
) -> TransformerBridge:
    has_bos = tokenizer is not None and tokenizer.bos_token_id is not None
    model.to(place)  # pyright: ignore[reportArgumentType]
    with TemporaryDirectory() as temporary:
        stand_in = tokenizer or _stand_in(Path(temporary))
        bridge = TransformerBridge.boot_transformers(
            name,
            hf_model=model,
            tokenizer=stand_in,
            device=str(place),
            dtype=model.dtype,
        )
    repair_t5_blocks(bridge)
    if not has_bos:
        # The bridge invents a BOS, and would glue its text to the first word of a prompt.
        bridge.cfg.default_prepend_bos = False
    if tokenizer is None:
        bridge.tokenizer = None
    _ORIGINS[bridge] = _Origin(reference, _versions(bridge))
    return bridge


def _stand_in(directory: Path) -> PreTrainedTokenizerBase:
    """A tokenizer for the bridge to hold while it boots; it asks the hub when given none."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<none>": 0}, unk_token="<none>"))
    every = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "<none>")
    PreTrainedTokenizerFast(tokenizer_object=words, **every).save_pretrained(directory)
    return AutoTokenizer.from_pretrained(str(directory))


def _versions(bridge: TransformerBridge) -> tuple[int, ...]:
    return tuple(p._version for p in bridge.original_model.parameters())


@contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' loading bar and its report of weights, which we check ourselves."""
    bars, level = (
        transformers_logging.is_progress_bar_enabled(),
        transformers_logging.get_verbosity(),
    )
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
