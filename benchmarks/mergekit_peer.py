"""mergekit 0.1.5 as a peer: an environment of its own, made once, and its command as it is run.

Its dependencies (transformers 5, click 8.2 or newer) need not fit ours, so it gets a virtual
environment under `--cache`, with the torch version that we run. `pip` is its ordinary self: set
PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu for a torch without CUDA.
"""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

VERSION = "0.1.5"


def environment(cache: Path) -> Path:
    """The directory of mergekit's virtual environment; made at the first call, in minutes."""
    place = cache / f"mergekit-{VERSION}"
    if (place / "made").is_file():
        return place
    torch = version("torch").split("+")[0]
    print(f"installing mergekit {VERSION} and torch {torch} into {place}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, f"mergekit=={VERSION}", f"torch=={torch}"], check=True, stdout=sys.stderr)
    (place / "made").touch()
    return place


def versions(place: Path) -> str:
    """What the environment holds, for a person."""
    code = "from importlib.metadata import version as v\n" + (
        "print(*(f'{p} {v(p)}' for p in ('mergekit', 'torch', 'transformers', 'numpy')), sep=', ')"
    )
    command = [str(place / "bin" / "python"), "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def merge_command(
    place: Path, config: Path, out: Path, *, method: str, base: Path, models: dict[Path, dict]
) -> list[str]:
    """The command that merges models, each with its parameters; writes `config` for it.

    Tensors are read lazily. No tokenizer is copied: rebuilding one is no part of a merge.
    """
    content = {
        "merge_method": method,
        "base_model": str(base),
        "models": [{"model": str(model), "parameters": p} for model, p in models.items()],
        "dtype": "bfloat16",
    }
    config.write_text(json.dumps(content))  # YAML reads JSON
    options = ["--lazy-unpickle", "--no-copy-tokenizer", "--quiet"]
    return [str(place / "bin" / "mergekit-yaml"), str(config), str(out), *options]
