"""Which architectures we load, decided from config.json alone and before any work.

Each of them is tested against transformers' own logits on a tiny random model. The bridge knows
more; a name that nobody has checked here is refused rather than trusted.
"""

from pathlib import Path
from typing import Any, Literal

from interp.models.tokenizer import read_json
from interp.results.errors import BadInput, Unsupported

Family = Literal["decoder", "encoder", "encoder-decoder"]

ARCHITECTURES: dict[str, Family] = {
    "GPT2LMHeadModel": "decoder",
    "GPTNeoXForCausalLM": "decoder",
    "LlamaForCausalLM": "decoder",
    "MistralForCausalLM": "decoder",
    "OlmoForCausalLM": "decoder",
    "Olmo2ForCausalLM": "decoder",
    "Qwen2ForCausalLM": "decoder",
    "Qwen3ForCausalLM": "decoder",
    "MixtralForCausalLM": "decoder",
    "OlmoeForCausalLM": "decoder",
    "Qwen2MoeForCausalLM": "decoder",
    "Qwen3MoeForCausalLM": "decoder",
    "BertForMaskedLM": "encoder",
    "T5ForConditionalGeneration": "encoder-decoder",
    "SwitchTransformersForConditionalGeneration": "encoder-decoder",
}

_BY_MODEL_TYPE = {
    "gpt2": "GPT2LMHeadModel",
    "gpt_neox": "GPTNeoXForCausalLM",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "olmo": "OlmoForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "olmoe": "OlmoeForCausalLM",
    "qwen2_moe": "Qwen2MoeForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "bert": "BertForMaskedLM",
    "t5": "T5ForConditionalGeneration",
    "switch_transformers": "SwitchTransformersForConditionalGeneration",
}

# Checkpoints of the bare trunk, or with another head, that the language model class opens.
_HEADLESS = {"GPT2Model", "GPTNeoXModel", "LlamaModel", "BertForPreTraining", "BertModel"}


def read_config(directory: Path) -> dict[str, Any]:
    """config.json of a model directory, as it is written there."""
    path = directory / "config.json"
    if not path.is_file():
        raise BadInput(f"{directory} holds no config.json: it is not a model directory")
    return read_json(path)


def architecture_of(directory: Path) -> str:
    """The architecture that config.json names, one of ARCHITECTURES; Unsupported by name else."""
    config = read_config(directory)
    named = config.get("architectures")
    model_type = config.get("model_type")
    if isinstance(named, list) and named and str(named[0]) not in _HEADLESS:
        return supported(str(named[0]), where=str(directory))
    if model_type in _BY_MODEL_TYPE:
        return _BY_MODEL_TYPE[model_type]
    raise Unsupported(
        f"{directory / 'config.json'} names architectures {named!r} and model type "
        f"{model_type!r}: we load {_listing()}"
    )


def supported(architecture: str, *, where: str) -> str:
    """`architecture` itself if we load it; Unsupported, with what we do load, if not."""
    if architecture not in ARCHITECTURES:
        raise Unsupported(
            f"{where} is a {architecture}, which we do not load: we load {_listing()}"
        )
    return architecture


def _listing() -> str:
    return ", ".join(sorted(ARCHITECTURES))
