"""Families of polyglot by seed: the shipped one, and others trained by its recipe and kept.

from benchmarks.families import family
models = family(2, cache)      # a directory with base, ability, control, language and ceiling
"""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from interp.models.hub import directory_of
from interp.results.provenance import package_versions
from probes.polyglot.recipe import Recipe

SHIPPED_SEED = 1
"""The seed of the models that come with the package."""


def family(seed: int, cache: Path) -> Path:
    """The directory of a seed's five models; trained first (minutes, one thread) if missing.

    The shipped seed is the package's own float16 files, the others are stored in the same format.
    """
    if seed == SHIPPED_SEED:
        return directory_of("polyglot").parent
    models = seed_directory(seed, cache) / "models"
    if not models.exists():
        models.parent.mkdir(parents=True, exist_ok=True)
        train = [sys.executable, "-m", "probes.polyglot.train", "--seed", str(seed)]
        alone = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        subprocess.run([*train, "--out", str(models)], check=True, env=alone, stdout=sys.stderr)
    return models


def seed_directory(seed: int, cache: Path) -> Path:
    """Where a seed's models and what is made from them are kept: by recipe and versions."""
    content = [asdict(Recipe()), package_versions()]
    recipe = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    return cache / "polyglot" / recipe / f"seed-{seed}"
