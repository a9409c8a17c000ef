"""Identities of large models, hashed in a process of their own.

A thread would do where nothing else runs Python; beside an import, or beside threads of short
tensor operations, it waits for the interpreter most of the time.

    python -m interp.models.identity_process [--cache FILE] DIRECTORY...    prints JSON
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from interp.models.identity import ModelIdentity, model_identity
from interp.results import errors

_NICE = 10


def start(directories: Sequence[Path], *, cache: Path | None) -> "subprocess.Popen[str]":
    """Begin hashing; `finish` gives what came out."""
    options = [] if cache is None else ["--cache", str(cache)]
    command = [sys.executable, "-m", __name__, *options, "--", *map(str, directories)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]") -> list[ModelIdentity]:
    """The identities in the order of the directories; raises what `model_identity` raised."""
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"hashing ended with {process.returncode}")
    content = json.loads(output)
    if "error" in content:
        raise getattr(errors, content["error"])(content["message"])
    return [ModelIdentity.from_json(one) for one in content["identities"]]


def main() -> None:
    """What the process does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path)
    parser.add_argument("directories", nargs="+", type=Path)
    arguments = parser.parse_args()
    # Ctrl-C reaches both processes; the one that is waiting for us says what happened.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Hashing fills what the other work leaves idle, and does not hold up torch's import.
    os.nice(_NICE)
    try:
        found = [model_identity(one, cache=arguments.cache) for one in arguments.directories]
        result = {"identities": [one.to_json() for one in found]}
    except errors.InterpError as error:
        result = {"error": type(error).__name__, "message": str(error)}
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
