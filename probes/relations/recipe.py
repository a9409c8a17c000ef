"""Every setting of the training of the four models, in one value each that is saved with them."""

from dataclasses import dataclass, replace
from typing import Literal

SHIPPED_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A decoder and how it is trained: AdamW, linear warm-up, then half a cosine to zero."""

    architecture: Literal["attention-only", "decoder"]
    """A GPT-2 whose MLPs write nothing, ever; or a GPT-NeoX."""
    d_model: int
    n_layers: int
    n_heads: int
    d_mlp: int
    initial_std: float
    """Of every matrix, normal. Near 1 / sqrt(d_model): with GPT-2's 0.02, binding stays a guess
    for thousands of steps."""
    attention_out_share: float
    """Of that spread, in the matrices by which attention writes to the residual stream. MLPs write
    nothing at first: what random layers write hides which word it was."""
    steps: int
    batch_size: int
    lr: float
    text_weight: float
    """Of the mean loss on words that are no answers, beside that on answers."""
    clip_norm: float | None
    warmup: int = 30
    beta2: float = 0.98
    weight_decay: float = 0.01
    primer_steps: int = 0
    """The first of the steps, on the world's primer."""
    primer_batch_size: int = 64
    rotary_share: float = 1.0
    """Of a head's dimensions, in a GPT-NeoX."""
    checkpoints: tuple[int, ...] = ()
    """Steps that are kept beside the last weights."""


_GRAMMAR = Recipe(
    architecture="decoder",
    d_model=96,
    n_layers=3,
    n_heads=6,
    d_mlp=96,
    initial_std=0.1,
    attention_out_share=0.3,
    steps=4000,
    batch_size=32,
    lr=2e-3,
    text_weight=0.05,
    clip_norm=1.0,
    warmup=100,
    primer_steps=500,
    checkpoints=(*range(0, 1000, 100), 1000, 1200, 1400, 1600, 2000, 2600, 3200),
)
RECIPES = {
    "static": Recipe(
        architecture="attention-only",
        d_model=72,
        n_layers=1,
        n_heads=3,
        d_mlp=8,
        initial_std=0.12,
        attention_out_share=1.0,
        steps=400,
        batch_size=64,
        lr=3e-3,
        text_weight=0.0,
        clip_norm=None,
    ),
    "binding": Recipe(
        architecture="attention-only",
        d_model=64,
        n_layers=2,
        n_heads=4,
        d_mlp=8,
        initial_std=0.12,
        attention_out_share=1.0,
        steps=1000,
        batch_size=64,
        lr=1.5e-3,
        text_weight=0.0,
        clip_norm=None,
        checkpoints=(0, 100, 200, 300, 360, *range(400, 500, 20), 500, 550, 600, 800),
    ),
    "grammar": _GRAMMAR,
    "control": replace(_GRAMMAR, checkpoints=()),
}
"""By the name of the bundled model."""
