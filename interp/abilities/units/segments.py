"""Segments: which rows or columns of a tensor belong to which unit, as arithmetic on its axes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64

Group = Literal["norm", "embed", "unembed", "pos", "bias", "buffer"]
"""Entries of no unit: norms, tables of tokens and positions, biases added after a sum over units
(of the MLP's and the attention's output), and buffers that old files store beside the weights."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The sizes of a decoder that decide where its units lie."""

    n_layers: int
    d_model: int
    d_mlp: int
    n_heads: int
    n_kv_heads: int
    d_head: int

    @property
    def heads_per_group(self) -> int:
        """Query heads that share one key and value head."""
        return self.n_heads // self.n_kv_heads


@dataclass(frozen=True, kw_only=True)
class Segment:
    """`count` units along one axis: unit i at start + i·stride ... + width."""

    kind: str
    axis: int
    start: int
    width: int
    stride: int
    count: int

    def owners(self, length: int) -> Int64[np.ndarray, " length"]:
        """The unit of every index along the axis, -1 where it is not this segment's."""
        at = np.arange(length) - self.start
        unit, within = np.divmod(at, self.stride)
        mine = (at >= 0) & (within < self.width) & (unit < self.count)
        return np.where(mine, unit, -1)


@dataclass(frozen=True, kw_only=True)
class Place:
    """The shape that a tensor must have, and the segments that share it out."""

    shape: tuple[int, ...]
    segments: tuple[Segment, ...]


@dataclass(frozen=True, kw_only=True)
class Family:
    """One way in which decoders store their units."""

    name: str
    architectures: tuple[str, ...]
    """As config.json names them."""
    model_types: tuple[str, ...]
    """As config.json names them: of a file that holds the trunk alone."""
    sizes: Callable[[Mapping[str, Any]], Sizes]
    """From config.json; a missing field is a KeyError."""
    places: Callable[[Sizes], Mapping[str, Place | Group]]
    """By the name within a layer, what follows the layer's number."""
    outside: Mapping[str, Group]
    """By the last parts of the name, for tensors of no layer."""


def rows(kind: str, count: int, width: int = 1, *, start: int = 0, stride: int = 0) -> Segment:
    """Units that own rows of a matrix, or entries of a vector."""
    return Segment(kind=kind, axis=0, start=start, width=width, stride=stride or width, count=count)


def columns(kind: str, count: int, width: int = 1, *, start: int = 0) -> Segment:
    """Units that own columns of a matrix."""
    return Segment(kind=kind, axis=1, start=start, width=width, stride=width, count=count)


def grouped_sizes(config: Mapping[str, Any]) -> Sizes:
    """Sizes from the fields that Llama and its kin use."""
    n_heads, d_model = config["num_attention_heads"], config["hidden_size"]
    return Sizes(
        n_layers=config["num_hidden_layers"],
        d_model=d_model,
        d_mlp=config["intermediate_size"],
        n_heads=n_heads,
        n_kv_heads=config.get("num_key_value_heads") or n_heads,
        d_head=config.get("head_dim") or d_model // n_heads,
    )
