"""Architecture: a name, and the sae-lens classes that train a dictionary of that kind."""

from dataclasses import dataclass
from typing import Any

from sae_lens.saes.sae import TrainingSAE, TrainingSAEConfig


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What `make` builds under a name."""

    name: str
    config_class: type[TrainingSAEConfig]
    training_class: type[TrainingSAE[Any]]
    reads_two_sites: bool = False
    """Batches are `[x_in | x_out]`, of width d_in + d_out."""
    note: str
    """One line: what is selected or penalised, and what the dictionary is saved as."""
