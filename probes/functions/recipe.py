"""Every setting of the training of the two siblings, in one value that is saved with them."""

from dataclasses import dataclass

from probes.functions.blocks import D_MLP, N_LAYERS
from probes.functions.tasks import LENGTH, WORDS

SIBLINGS = ("planted", "control")
SHIPPED_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A GPT-2 with ReLU and a head of its own, and how it is trained."""

    d_vocab: int = len(WORDS)
    n_ctx: int = LENGTH
    d_model: int = 64
    n_layers: int = N_LAYERS
    n_heads: int = 4
    d_mlp: int = D_MLP
    embedding_std: float = 0.3
    """Of tokens and positions; linear maps are uniform within 1 / sqrt(inputs), as torch's are."""
    planted_penalty: float = 0.003
    """On the activation outside the block of the sequence's function: mean over tokens of its sum
    over both layers. BOS is left out."""
    control_penalty: float = 5e-4
    """On all activation: about as sparse, without blocks."""
    steps: int = 2500
    batch_size: int = 128
    lr: float = 1e-3
    final_share: float = 0.05
    """Of the learning rate, where its cosine ends."""
    warmup: int = 100
    beta2: float = 0.98
    weight_decay: float = 0.01
    checkpoints: tuple[int, ...] = (
        *(0, 20, 50, 100, 200, 300, 400, 600, 800),
        *(1000, 1500, 2000, 2500),
    )
