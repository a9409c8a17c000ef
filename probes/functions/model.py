"""The decoder of functions: made from a seed, written and read as a Hugging Face directory."""

import copy
import math
from pathlib import Path

import torch
from torch import nn
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel
from transformers.pytorch_utils import Conv1D

from probes.functions.recipe import Recipe
from probes.functions.tasks import BOS, N_OPERANDS, WORDS
from probes.functions.tokenizer import write_tokenizer

_PAD = WORDS.index("<pad>")


def new_model(recipe: Recipe, *, seed: int) -> GPT2LMHeadModel:
    """A decoder with torch's default linear maps and normal embeddings, drawn from `seed`."""
    model = GPT2LMHeadModel(_config(recipe))
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=recipe.embedding_std, generator=generator)
        elif isinstance(module, Conv1D | nn.Linear):
            n_in = module.weight.shape[0 if isinstance(module, Conv1D) else 1]
            bound = 1 / math.sqrt(n_in)
            for parameter in module.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return model.eval()


def _config(recipe: Recipe) -> GPT2Config:
    return GPT2Config(
        vocab_size=recipe.d_vocab,
        n_positions=recipe.n_ctx,
        n_embd=recipe.d_model,
        n_layer=recipe.n_layers,
        n_head=recipe.n_heads,
        n_inner=recipe.d_mlp,
        activation_function="relu",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        tie_word_embeddings=False,
        bos_token_id=BOS,
        eos_token_id=None,
        pad_token_id=_PAD,
    )


def write_model(model: GPT2LMHeadModel, directory: Path) -> None:
    """Write weights in float16, config and tokenizer: a directory that transformers opens."""
    stored = copy.deepcopy(model).to(torch.float16)  # pyright: ignore[reportArgumentType]
    stored.generation_config = GenerationConfig(
        max_new_tokens=N_OPERANDS, do_sample=False, pad_token_id=_PAD
    )
    stored.save_pretrained(directory)
    write_tokenizer(directory, n_ctx=model.config.n_positions)


def read_model(directory: Path) -> GPT2LMHeadModel:
    """The model of a directory, in float32 with eager attention."""
    return GPT2LMHeadModel.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    )
