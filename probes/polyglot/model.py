"""The decoder of polyglot: made from a seed, written and read as a Hugging Face directory."""

import copy
from pathlib import Path

import torch
from torch import nn
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from probes.polyglot.languages import SPECIAL
from probes.polyglot.recipe import Shape
from probes.polyglot.tokenizer import write_tokenizer


def new_model(shape: Shape, *, seed: int) -> LlamaForCausalLM:
    """A decoder with normal weights of `initial_std` drawn from `seed`, and norms of one."""
    model = LlamaForCausalLM(_config(shape))
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=shape.initial_std, generator=generator)
        else:
            nn.init.ones_(parameter)
    return model


def _config(shape: Shape) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=shape.d_vocab,
        hidden_size=shape.d_model,
        intermediate_size=shape.d_mlp,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.n_heads,
        num_key_value_heads=shape.n_heads,
        max_position_embeddings=shape.n_ctx,
        initializer_range=shape.initial_std,
        tie_word_embeddings=False,
        pad_token_id=SPECIAL.index("<pad>"),
        bos_token_id=None,
        eos_token_id=None,
    )


def write_model(model: LlamaForCausalLM, directory: Path, *, dtype: torch.dtype) -> None:
    """Write weights in `dtype`, config and tokenizer: a directory that transformers opens."""
    stored = copy.deepcopy(model).to(dtype)  # pyright: ignore[reportArgumentType]
    stored.generation_config = GenerationConfig(
        max_new_tokens=1, do_sample=False, pad_token_id=SPECIAL.index("<pad>")
    )
    stored.save_pretrained(directory)
    write_tokenizer(directory, n_ctx=model.config.max_position_embeddings)


def read_model(directory: Path) -> LlamaForCausalLM:
    """The model of a directory, in float32 with eager attention."""
    return LlamaForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    )
