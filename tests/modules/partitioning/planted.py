"""Layers whose experts are known: rows around planted centres, activations that fire in blocks."""

import numpy as np
import torch


def planted_rows(n, n_experts, d, share, seed):
    """x = √share·centre + √(1−share)·noise, both at unit length; and the expert of every row."""
    rng = np.random.default_rng(seed)
    centres, noise = (_unit(rng.standard_normal((m, d))) for m in (n_experts, n))
    labels = rng.permutation(np.arange(n) % n_experts)
    rows = np.sqrt(share) * centres[labels] + np.sqrt(1 - share) * noise
    return torch.from_numpy(rows), labels


def planted_activations(n, n_experts, n_rows, seed, *, within=0.25, outside=0.03):
    """ReLU-like rows in which one expert fires at a time; and the expert of every neuron."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % n_experts)
    chosen = rng.integers(n_experts, size=n_rows)
    chance = np.where(labels[None, :] == chosen[:, None], within, outside)
    on = rng.random((n_rows, n)) < chance
    return torch.from_numpy((on * rng.exponential(size=on.shape)).astype(np.float32)), labels


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
