"""The siblings of functions from several seeds: the shipped ones, and others trained and kept."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int

from interp.models.reference import BUNDLED
from interp.results.provenance import package_versions
from probes.functions.blocks import known_blocks
from probes.functions.recipe import SHIPPED_SEED
from probes.functions.train import RECIPE, train_siblings

Sibling = Literal["planted", "control"]
SIBLINGS: tuple[Sibling, ...] = ("planted", "control")
_DECIDES = ("tasks", "blocks", "recipe", "model", "training")
"""Modules of probes.functions that decide the weights."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One sibling of one seed."""

    seed: int
    sibling: Sibling
    directory: Path
    """Its last weights, with the series of step-N inside."""

    @property
    def blocks(self) -> Int[np.ndarray, "layers d"]:
        """The function of every neuron's block; in the control a fiction."""
        return known_blocks(self.seed)

    def at(self, step: int) -> Path:
        """The checkpoint of a step."""
        return self.directory / f"step-{step}"


def siblings_of(seed: int, cache: Path, *, say: Callable[[str], None] = print) -> list[Trained]:
    """Both siblings of a seed, trained into the cache where they are not there."""
    home = BUNDLED / "functions" if seed == SHIPPED_SEED else kept_at(seed, cache)
    if not home.is_dir():
        say(f"  training seed {seed} into {home}: about two minutes on an idle core")
        home.parent.mkdir(parents=True, exist_ok=True)
        train_siblings(home, seed=seed)
    return [Trained(seed=seed, sibling=sibling, directory=home / sibling) for sibling in SIBLINGS]


def kept_at(seed: int, cache: Path) -> Path:
    """Where the siblings of a seed are kept: by the recipe, its code and the versions."""
    modules = [import_module(f"probes.functions.{name}") for name in _DECIDES]
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in modules)
    versions = {name: package_versions()[name] for name in ("torch", "transformers", "numpy")}
    settings = json.dumps([asdict(RECIPE), versions], sort_keys=True).encode()
    digest = hashlib.sha256(settings + code).hexdigest()[:16]
    return cache / "functions" / digest / f"seed-{seed}"
