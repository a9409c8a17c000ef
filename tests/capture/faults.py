"""A process of its own in which captures are killed, starved of disk and interrupted.

python faults.py kill|full|interrupt MODEL STORE: the model is loaded once and every capture runs in
a fork, so that a kill costs milliseconds and not a start of torch. Prints JSON.
"""

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import warnings
from pathlib import Path

import torch
from transformer_lens.model_bridge import TransformerBridge

from interp.capture import record
from interp.capture.manifest import read_manifest
from interp.models.load import load
from interp.results.errors import InterpError
from tests.capture.conftest import make_corpus

KILLS = 10
SETTINGS = {"max_tokens": 900, "batch_size": 2, "shard_bytes": 15_000}


def capture(model: TransformerBridge, store: Path) -> None:
    """About thirty shards."""
    record(model, make_corpus(80), ["blocks.*.hook_resid_post"], store, **SETTINGS)  # type: ignore[arg-type]


def forked(model: TransformerBridge, store: Path) -> int:
    """Start a capture in a fork; its exit code is that of the command line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            capture(model, store)
        except InterpError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(error.exit_code)
        os._exit(0)
    return child


def exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def n_shards(store: Path) -> int:
    return len(list(store.glob("shard-*.h5")))


def committed(store: Path) -> set[str]:
    """Names of the shards that the manifest promises and that are there.

    A shard killed between its renaming and its line is no promise: the next run writes it anew.
    """
    return {entry.name for entry in read_manifest(store).shards if (store / entry.name).is_file()}


def kill(model: TransformerBridge, store: Path) -> dict[str, object]:
    """Kill at random moments, most of them while shards are being written.

    A capture that ended before it was hit is checked later like the last one, and a new one begun.
    """
    start = time.monotonic()
    assert exit_code(forked(model, store.with_name("whole"))) == 0
    duration = time.monotonic() - start
    chance = random.Random(11)
    killed, promised, ended = 0, set[str](), []
    while killed < KILLS:
        child = forked(model, store)
        before = n_shards(store)
        # Half of them at any moment, start and checks included; half once a new shard is there.
        if chance.random() < 0.5:
            time.sleep(chance.random() * duration / 2)
        else:
            while n_shards(store) <= before and not has_ended(child):
                time.sleep(0.0005)
            time.sleep(chance.random() * 0.004)
        os.kill(child, signal.SIGKILL)
        code = exit_code(child)
        assert code in (0, -signal.SIGKILL)
        killed += code != 0
        lost = promised - committed(store)
        assert not lost, f"a kill lost committed shards: {sorted(lost)}"
        promised = committed(store)
        if code == 0:
            ended.append(str(store.rename(store.with_name(f"ended-{len(ended)}"))))
            promised = set()
    return {"killed": killed, "ended": ended, "last": exit_code(forked(model, store))}


def has_ended(child: int) -> bool:
    """Whether a child is no longer running; it stays to be waited for."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def full(model: TransformerBridge, store: Path) -> dict[str, object]:
    """No file may grow beyond what stands for a full disk, then there is room again."""
    assert exit_code(forked(model, store)) == 0
    shutil.copytree(store, store.with_name("whole"))
    size = (store / "shard-00003.h5").stat().st_size
    for name in ("shard-00003.h5", "shard-00004.h5"):
        (store / name).unlink()
    no_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, no_limit[1]))
    starved = exit_code(forked(model, store))
    resource.setrlimit(resource.RLIMIT_FSIZE, no_limit)
    return {"starved": starved, "last": exit_code(forked(model, store))}


def interrupt(model: TransformerBridge, store: Path) -> dict[str, object]:
    """Ctrl-C after the third shard."""
    assert exit_code(forked(model, store.with_name("whole"))) == 0
    child = forked(model, store)
    while n_shards(store) < 3:
        time.sleep(0.0005)
    os.kill(child, signal.SIGINT)
    code, shards = exit_code(child), n_shards(store)
    partial = len(list(store.glob("*.partial")))
    last = exit_code(forked(model, store))
    return {"interrupted": code, "shards": shards, "partial": partial, "last": last}


if __name__ == "__main__":
    torch.set_num_threads(1)
    what = {"kill": kill, "full": full, "interrupt": interrupt}[sys.argv[1]]
    bridge = load(Path(sys.argv[2]), device="cpu")
    print(json.dumps(what(bridge, Path(sys.argv[3]))))
