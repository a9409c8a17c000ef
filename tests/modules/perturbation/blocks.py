"""A transformer built by hand whose MLP is known: a block of neurons a function, and one without.

A sequence is [filler, prompt, answer]. The prompt's token names a function and an operand. The
MLP of layer 0 holds two neurons for every prompt of `f0`, `f1`, `f2`, which alone know its answer;
the answers of `direct` are read off the prompt by the unembedding. The MLP of layer 1 is empty.
Without its neurons a prompt is answered by token 0, which is wrong.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from interp.modules.partition import Partition
from interp.modules.perturbation.items import FunctionItem
from interp.neurons.scores import NeuronScores
from interp.results.provenance import Provenance
from tests.neurons.making import a_function, some_scores

FUNCTIONS = ("f0", "f1", "f2", "direct")
N_OPERANDS, N_FILLERS, N_NEURONS = 4, 12, 48
SITES = ("blocks.0.mlp.hook_post", "blocks.1.mlp.hook_post")
_PROMPTS = len(FUNCTIONS) * N_OPERANDS
_FIRST_PROMPT = 1 + N_FILLERS
_FIRST_ANSWER = _FIRST_PROMPT + _PROMPTS


def home() -> np.ndarray:
    """The function that each neuron of layer 0 serves, in a shuffled order; 3 serves none."""
    return np.random.default_rng(0).permutation(np.repeat(np.arange(4), N_NEURONS // 4))


def write_block_model(directory: Path) -> Path:
    """The model as a Hugging Face directory without a tokenizer."""
    config = GPT2Config(
        vocab_size=_FIRST_ANSWER + _PROMPTS,
        n_embd=2 * _PROMPTS,
        n_inner=N_NEURONS,
        n_layer=2,
        n_head=2,
        n_positions=8,
        activation_function="relu",
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng():
        model = GPT2LMHeadModel(config)
    parameters = dict(model.named_parameters())
    embed, unembed = parameters["transformer.wte.weight"], parameters["lm_head.weight"]
    W_in, b_in, W_out = (
        parameters[f"transformer.h.0.mlp.{name}"]
        for name in ("c_fc.weight", "c_fc.bias", "c_proj.weight")
    )
    with torch.no_grad():
        for name, parameter in parameters.items():
            is_scale = ".ln_" in name and name.endswith("weight")
            parameter.fill_(1.0 if is_scale else 0.0)
        for prompt in range(_PROMPTS):
            embed[_FIRST_PROMPT + prompt, prompt] = 1.0
            unembed[0, prompt] = 1.0
            unembed[_FIRST_ANSWER + prompt, _PROMPTS + prompt] = 1.0
            if prompt >= _PROMPTS - N_OPERANDS:
                unembed[_FIRST_ANSWER + prompt, prompt] = 2.0
        for function in range(3):
            members = np.flatnonzero(home() == function)
            for place, neuron in enumerate(members[: 2 * N_OPERANDS]):
                prompt = function * N_OPERANDS + place % N_OPERANDS
                W_in[prompt, neuron] = 1.0
                W_out[neuron, _PROMPTS + prompt] = 0.6
        b_in.fill_(-3.0)
    model.eval().save_pretrained(directory)
    return directory


def items(*, answers: bool = True) -> list[FunctionItem]:
    """Every sequence of every function; fillers decide the split."""
    return [
        FunctionItem(
            id=f"{name}-{operand}-{filler}",
            function=name,
            split="validation" if filler % 2 else "test",
            tokens=(1 + filler, _FIRST_PROMPT + prompt, _FIRST_ANSWER + prompt),
            answer_start=2,
            answer_end=3,
            has_answer=answers,
        )
        for function, name in enumerate(FUNCTIONS)
        for operand in range(N_OPERANDS)
        for prompt in [function * N_OPERANDS + operand]
        for filler in range(N_FILLERS)
    ]


def scores(site: str = SITES[0], functions: tuple[str, ...] = FUNCTIONS) -> NeuronScores:
    """Neurons of a function's block detect it, others detect nothing; layer 1 is dead."""
    known = np.array([[home() == FUNCTIONS.index(name)] for name in functions])[:, 0]
    noise = np.random.default_rng(1).uniform(0.4, 0.6, known.shape)
    return replace(
        some_scores(len(functions), N_NEURONS, site=site),
        functions=tuple(a_function(name) for name in functions),
        score=np.where(known & (site == SITES[0]), 1.0, noise),
        dead=np.full(N_NEURONS, site == SITES[1]),
    )


def partition(site: str = SITES[0]) -> Partition:
    """The blocks, each cut in two experts."""
    return Partition.of(
        halves().astype(np.int32),
        site=site,
        kind="planted",
        model_hash=None,
        provenance=Provenance.collect(
            "a test", model_hash=None, corpus_hash=None, seed=0, settings={}
        ),
    )


def halves() -> np.ndarray:
    """An expert for every neuron: the two halves of each block."""
    rank = np.array([np.count_nonzero(home()[:n] == home()[n]) for n in range(N_NEURONS)])
    return 2 * home() + (rank >= N_NEURONS // 8)
