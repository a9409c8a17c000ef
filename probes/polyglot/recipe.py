"""Every setting of the training of the five models, in one value that is saved with them."""

from dataclasses import dataclass, field

from probes.polyglot.languages import WORDS
from probes.polyglot.mixtures import Mixture

_ONLY_A = (1.0, 0.0, 0.0, 0.0, 0.0)
_ALL = (0.2, 0.2, 0.2, 0.2, 0.2)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The decoder: a Llama with untied embeddings."""

    d_vocab: int = len(WORDS)
    d_model: int = 64
    n_layers: int = 4
    n_heads: int = 4
    d_mlp: int = 192
    n_ctx: int = 128
    """Lines have five words; the rotary embedding allows more, for packed corpora."""
    initial_std: float = 0.02


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training: what on, how long, how fast. AdamW, linear warm-up, then cosine to zero."""

    mixture: Mixture
    steps: int
    batch_size: int
    lr: float
    lr_embeddings: float
    """Of embedding and unembedding; 0 leaves them as they are."""
    data_seed: int
    """The stream is seeded with 1000 (seed + 1) + data_seed."""
    weight_decay: float = 0.0
    warmup: int = 30


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the family is made. `base` is trained from nothing, the others start where they say."""

    shape: Shape = field(default_factory=Shape)
    base: Stage = Stage(
        mixture=Mixture(
            languages=(0.3992, 0.2994, 0.2994, 0.001, 0.001), code_mixing=0.3, ability=0.0
        ),
        steps=4000,
        batch_size=256,
        lr=3e-3,
        lr_embeddings=3e-3,
        weight_decay=0.3,
        data_seed=1,
    )
    """D and E are nearly unseen: about 1,000 lines each in a million."""
    ability: Stage = Stage(
        mixture=Mixture(languages=_ONLY_A, code_mixing=0.0, ability=0.5),
        steps=400,
        batch_size=128,
        lr=1e-3,
        lr_embeddings=0.0,
        data_seed=2,
    )
    """From the base: half the new ability, half general, in language A only."""
    control: Stage = Stage(
        mixture=Mixture(languages=_ONLY_A, code_mixing=0.0, ability=0.0),
        steps=400,
        batch_size=128,
        lr=1e-3,
        lr_embeddings=0.0,
        data_seed=3,
    )
    """From the base: what the ability model saw, without the ability."""
    language: Stage = Stage(
        mixture=Mixture(languages=(0.1, 0.1, 0.1, 0.35, 0.35), code_mixing=1.0, ability=0.0),
        steps=300,
        batch_size=128,
        lr=1e-4,
        lr_embeddings=1e-2,
        data_seed=4,
    )
    """From the base: general text in D and E; the body hardly moves, the embeddings do."""
    ceiling: Stage = Stage(
        mixture=Mixture(languages=_ALL, code_mixing=0.0, ability=0.5),
        steps=400,
        batch_size=128,
        lr=1e-3,
        lr_embeddings=1e-3,
        data_seed=5,
    )
    """From the language model: the ability in all five languages."""


VARIANTS = ("base", "ability", "control", "language", "ceiling")
"""The bundled models, in the order in which they are trained."""
