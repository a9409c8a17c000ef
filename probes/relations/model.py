"""The decoders of relations: made from a seed, written and read as Hugging Face directories."""

import copy
from pathlib import Path

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedModel,
)

from probes.relations.recipe import Recipe
from probes.relations.vocabulary import BOS, PAD, Vocabulary
from probes.relations.worlds import World


def new_model(recipe: Recipe, world: World, *, seed: int) -> PreTrainedModel:
    """A decoder with normal matrices drawn from `seed`, norms of one and biases of zero.

    MLPs write zeros at first; those of an attention-only decoder always do.
    """
    attention_only = recipe.architecture == "attention-only"
    model = (
        GPT2LMHeadModel(_gpt2_config(recipe, world))
        if attention_only
        else GPTNeoXForCausalLM(_neox_config(recipe, world))
    )
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=recipe.initial_std, generator=generator)
            with torch.no_grad():
                parameter.mul_(_share(name, recipe))
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.ones_(parameter)
        if attention_only and ".mlp." in name:
            parameter.requires_grad_(False)
    return model.eval()


def _share(name: str, recipe: Recipe) -> float:
    """Of the recipe's spread, by what a matrix does."""
    if name.endswith((".mlp.c_proj.weight", ".mlp.dense_4h_to_h.weight")):
        return 0.0
    writes = name.endswith((".attn.c_proj.weight", ".attention.dense.weight"))
    return recipe.attention_out_share if writes else 1.0


def _gpt2_config(recipe: Recipe, world: World) -> GPT2Config:
    return GPT2Config(
        vocab_size=len(world.vocabulary.tokens),
        n_positions=world.n_ctx,
        n_embd=recipe.d_model,
        n_layer=recipe.n_layers,
        n_head=recipe.n_heads,
        n_inner=recipe.d_mlp,
        activation_function="relu",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=recipe.initial_std,
        tie_word_embeddings=False,
        bos_token_id=BOS,
        eos_token_id=None,
        pad_token_id=PAD,
    )


def _neox_config(recipe: Recipe, world: World) -> GPTNeoXConfig:
    return GPTNeoXConfig(
        vocab_size=len(world.vocabulary.tokens),
        hidden_size=recipe.d_model,
        intermediate_size=recipe.d_mlp,
        num_hidden_layers=recipe.n_layers,
        num_attention_heads=recipe.n_heads,
        max_position_embeddings=world.n_ctx,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 10_000.0,
            "partial_rotary_factor": recipe.rotary_share,
        },
        use_parallel_residual=False,
        hidden_act="gelu",
        attention_dropout=0.0,
        hidden_dropout=0.0,
        initializer_range=recipe.initial_std,
        tie_word_embeddings=False,
        bos_token_id=BOS,
        eos_token_id=None,
        pad_token_id=PAD,
    )


def write_model(
    model: PreTrainedModel, directory: Path, *, vocabulary: Vocabulary, n_ctx: int
) -> None:
    """Write weights in float16, config and tokenizer: a directory that transformers opens."""
    stored = copy.deepcopy(model).to(torch.float16)  # pyright: ignore[reportArgumentType]
    stored.generation_config = GenerationConfig(max_new_tokens=1, do_sample=False, pad_token_id=PAD)
    stored.save_pretrained(directory)
    vocabulary.write_tokenizer(directory, n_ctx=n_ctx)


def read_model(directory: Path) -> PreTrainedModel:
    """The model of a directory, in float32 with eager attention."""
    return AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    ).eval()
