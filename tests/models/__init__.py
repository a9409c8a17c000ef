"""Tiny random models as Hugging Face directories, one builder for every style we load."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForMaskedLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    OlmoConfig,
    OlmoeConfig,
    OlmoeForCausalLM,
    OlmoForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
    SwitchTransformersConfig,
    SwitchTransformersForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

__all__ = [
    "DECODERS",
    "LAYOUTS_ONLY",
    "STYLES",
    "tiny_model",
    "tiny_model_directory",
    "write_tokenizer",
]

D_VOCAB = 64
PAD, BOS, EOS, UNK = 0, 1, 2, 3

_IDS: dict[str, Any] = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
_DECODER: dict[str, Any] = {
    "vocab_size": D_VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    **_IDS,
}
_GROUPED: dict[str, Any] = {**_DECODER, "num_key_value_heads": 2}
_ENCODER_DECODER: dict[str, Any] = {
    "vocab_size": D_VOCAB,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": PAD,
    **_IDS,
}

STYLES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "gpt2": (
        GPT2LMHeadModel,
        GPT2Config,
        {
            "vocab_size": D_VOCAB,
            "n_embd": 32,
            "n_inner": 48,
            "n_layer": 3,
            "n_head": 4,
            "n_positions": 64,
            **_IDS,
        },
    ),
    "llama": (LlamaForCausalLM, LlamaConfig, _GROUPED),
    "neox": (GPTNeoXForCausalLM, GPTNeoXConfig, _DECODER),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, _GROUPED),
    "olmo": (OlmoForCausalLM, OlmoConfig, _GROUPED),
    "mistral": (MistralForCausalLM, MistralConfig, _GROUPED),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {**_GROUPED, "head_dim": 8}),
    "olmo2": (Olmo2ForCausalLM, Olmo2Config, _GROUPED),
    "mixtral": (
        MixtralForCausalLM,
        MixtralConfig,
        {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "olmoe": (
        OlmoeForCausalLM,
        OlmoeConfig,
        {**_GROUPED, "num_experts": 4, "num_experts_per_tok": 2},
    ),
    "qwen2_moe": (
        Qwen2MoeForCausalLM,
        Qwen2MoeConfig,
        {
            **_GROUPED,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 24,
            "shared_expert_intermediate_size": 40,
        },
    ),
    "qwen3_moe": (
        Qwen3MoeForCausalLM,
        Qwen3MoeConfig,
        {
            **_GROUPED,
            "head_dim": 8,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 24,
        },
    ),
    "t5": (T5ForConditionalGeneration, T5Config, _ENCODER_DECODER),
    "switch": (
        SwitchTransformersForConditionalGeneration,
        SwitchTransformersConfig,
        {
            **_ENCODER_DECODER,
            "num_experts": 4,
            "num_sparse_encoder_layers": 1,
            "num_sparse_decoder_layers": 1,
            "router_jitter_noise": 0.0,
        },
    ),
    "bert": (BertForMaskedLM, BertConfig, {**_DECODER, "tie_word_embeddings": True}),
}
"""Style -> model class, config class, its tiny settings."""

LAYOUTS_ONLY: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "gemma3": (Gemma3ForCausalLM, Gemma3TextConfig, {**_GROUPED, "head_dim": 16}),
    "phi3": (Phi3ForCausalLM, Phi3Config, _GROUPED),
}
"""Styles whose weights we know our way in, though we do not load them as models."""

DECODERS = ("gpt2", "llama", "neox", "qwen2", "olmo", "mistral", "qwen3", "olmo2")


def tiny_model(style: str, *, seed: int = 0, **config: Any) -> PreTrainedModel:
    """A random model of `style`, the same for the same seed; `config` overrides its settings.

    Weights are drawn large enough that attention and MLPs matter, biases and norms are not left
    at 0 and 1, so that a formula that forgets one of them fails.
    """
    model_class, config_class, settings = {**STYLES, **LAYOUTS_ONLY}[style]
    with torch.random.fork_rng():
        model = model_class(config_class(**{**settings, **config}))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator) * 0.15
            is_scale = name.endswith("weight") and parameter.ndim == 1
            parameter.copy_(noise + 1 if is_scale else noise)
    return model.eval()


def write_tokenizer(
    directory: Path, *, d_vocab: int = D_VOCAB, adds_bos: bool = False, specials: bool = True
) -> None:
    """Write a word-level tokenizer: `<pad> <bos> <eos> <unk> w4 w5 ...`, ids in that order.

    `adds_bos`: encoding puts `<bos>` first. `specials=False`: only `<unk>` is declared, so the
    files give no BOS, EOS or padding.
    """
    words = ["<pad>", "<bos>", "<eos>", "<unk>", *(f"w{i}" for i in range(4, d_vocab))]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[attr-defined]
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore[attr-defined]
            single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", BOS)]
        )
    names = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"} if specials else {}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", **names).save_pretrained(
        directory
    )


def tiny_model_directory(
    style: str,
    directory: Path,
    *,
    seed: int = 0,
    tokenizer: bool = True,
    adds_bos: bool = False,
    dtype: torch.dtype = torch.float32,
    max_shard_size: str = "5GB",
    **config: Any,
) -> Path:
    """Write `tiny_model(style)` as a Hugging Face directory with safetensors; returns it."""
    model = tiny_model(style, seed=seed, **config)
    model.to(dtype)  # pyright: ignore[reportArgumentType]
    model.save_pretrained(directory, max_shard_size=max_shard_size)
    if tokenizer:
        write_tokenizer(directory, d_vocab=model.config.vocab_size, adds_bos=adds_bos)
    return directory
