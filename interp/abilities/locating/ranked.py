"""Which tensors of a model are ranked, and the null score of its units."""

import numpy as np
from jaxtyping import Float64

from interp.abilities.units.units import Layout


def is_embedding(name: str) -> bool:
    """Whether a tensor's name is that of a table of tokens or positions, or of the unembedding."""
    known = ("embed_tokens", "wte", "wpe", "embed_in", "embed_out", "lm_head", "shared")
    return name.endswith(tuple(f"{table}.weight" for table in known))


def tensors_ranked(layout: Layout, kind: str, *, with_groups: bool, known: set[str]) -> list[str]:
    """The tensors whose entries count for units of a kind.

    Of single tensors norms, tables and output biases only `with_groups`: their scores have another
    scale, as of tables nearly every entry is another token's. A layer has all of its own.
    """
    names = [name for name in layout.tensors_of(kind) if name in known]
    if kind == "tensor" and not with_groups:
        return [name for name in names if name in layout.segments]
    return names


def unit_noise(
    layout: Layout, kind: str, names: list[str], *, seed: int
) -> Float64[np.ndarray, "row unit"]:
    """Uniform in [0, 1) for every unit of a kind; NaN for a tensor that is not among `names`."""
    noise = np.random.default_rng(seed).random(layout.grid(kind))
    if kind == "tensor":
        ranked = [name in set(names) for name in layout.shapes]
        noise = np.where([ranked], noise, np.nan)
    return noise
