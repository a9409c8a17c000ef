"""What a sibling does and how its neurons share the work, measured on fresh sequences."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from transformers import GPT2LMHeadModel

from interp.results.intervals import Interval, wilson
from probes.functions.blocks import EXPERTS_PER_BLOCK
from probes.functions.labelled import PREDICTING, draw_split
from probes.functions.tasks import ANSWER_START, FUNCTIONS, LENGTH, N_OPERANDS
from probes.functions.training import recorded_activations

LINES_SEED = 0
N_PER_FUNCTION = 256


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Accuracy, sparsity and who is active when; all at positions where an answer is predicted."""

    right: Int[np.ndarray, " functions"]
    """Right answers of `n` to each function."""
    n: int
    activation_ratio: Float[np.ndarray, " layers"]
    """Share of neurons above zero, mean over positions."""
    activation: Float[np.ndarray, "functions layers d"]
    """Mean activation of every neuron while each function is asked."""

    def accuracy(self) -> list[Interval]:
        """Share of right answers to each function, with its 95% Wilson interval."""
        return [wilson(int(right), self.n) for right in self.right]

    def own_mass(
        self, blocks: Int[np.ndarray, "layers d"]
    ) -> Float[np.ndarray, "functions layers"]:
        """Share of the activation that lies in the block of the function asked; chance is 1/6.

        NaN where a layer is silent.
        """
        own = blocks == np.arange(len(FUNCTIONS))[:, None, None]
        total = self.activation.sum(-1)
        inside = (self.activation * own).sum(-1)
        return np.divide(inside, total, out=np.full_like(total, np.nan), where=total > 0)


def measure(model: GPT2LMHeadModel) -> Facts:
    """The facts of a model, on 256 fresh sequences of every function."""
    tokens = torch.from_numpy(
        draw_split(seed=LINES_SEED, split="test", n_per_function=N_PER_FUNCTION)
    )
    by_function = tokens.reshape(N_PER_FUNCTION, len(FUNCTIONS), LENGTH).transpose(0, 1)
    right, activation, ratio = [], [], []
    with recorded_activations(model) as layers, torch.no_grad():
        for asked in by_function:
            layers.clear()
            said = model(input_ids=asked, use_cache=False).logits[:, PREDICTING].argmax(-1)
            right.append(int((said == asked[:, ANSWER_START:]).sum()))
            h = torch.stack(list(layers))[:, :, PREDICTING]
            activation.append(h.mean((1, 2)).double().numpy())
            ratio.append((h > 0).double().mean((1, 2, 3)).numpy())
    return Facts(
        right=np.array(right),
        n=N_PER_FUNCTION * N_OPERANDS,
        activation_ratio=np.mean(ratio, axis=0),
        activation=np.stack(activation),
    )


def functions_of_experts(
    blocks: Int[np.ndarray, " d"], experts: Int[np.ndarray, " d"]
) -> Int[np.ndarray, " experts"]:
    """The function of every expert of a split in which each lies inside one block."""
    n_experts = EXPERTS_PER_BLOCK * len(FUNCTIONS)
    found = [np.unique(blocks[experts == expert]) for expert in range(n_experts)]
    assert all(len(functions) == 1 for functions in found)
    return np.concatenate(found)
