"""dictionary_learning and eai-sparsify as peers: an environment of their own, a worker each.

Their pins need not fit ours, so they get a virtual environment under `--cache`, made once without
their dependencies; it sees our packages for everything it does not bring, torch among them. A
worker holds one peer's trainer and makes one optimizer step whenever it is asked, so that it takes
turns with the sides of the calling process. Run as a script it is such a worker.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

VERSIONS = {"dictionary_learning": "dictionary-learning==0.1.0", "sparsify": "eai-sparsify==1.3.3"}
# What importing them needs and we do not have.
_NEEDED = [
    "nnsight==0.3.7",
    "natsort",
    "schedulefree",
    "simple-parsing",
    "docstring-parser",
    "python-socketio",
    "python-engineio",
    "bidict",
    "simple-websocket",
    "wsproto",
    "h11",
    "websocket-client",
]


def environment(cache: Path) -> Path:
    """The directory of the peers' virtual environment; made at the first call, in seconds."""
    place = cache / "dictionary-peers"
    if (place / "made").is_file():
        return place
    import torch

    print(f"installing {', '.join(VERSIONS.values())} into {place}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    (site / "ours.pth").write_text(f"{Path(torch.__file__).parents[1]}\n")
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, *VERSIONS.values(), *_NEEDED], check=True, stdout=sys.stderr)
    (place / "made").touch()
    return place


class Peer:
    """One peer's trainer in a process of its own; `step()` is the seconds of one step."""

    def __init__(self, place: Path, name: str, start: Path, settings: dict[str, Any]) -> None:
        self.name = name
        command = [str(place / "bin" / "python"), "-P", "-W", "ignore", __file__]
        self.process = subprocess.Popen(
            [*command, name, str(start), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"},
        )
        self.about: dict[str, Any] = self._answer()

    def step(self) -> float:
        """The seconds of the next step."""
        assert self.process.stdin is not None
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return self._answer()["seconds"]

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"the worker of {self.name} ended with {self.process.wait()}")

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def dictionary_learning_step(start: dict[str, Any], settings: dict[str, Any]) -> Any:
    """`TopKTrainer.update`, past its first step (which looks for a geometric median)."""
    import torch
    from dictionary_learning.trainers.top_k import TopKTrainer  # type: ignore[import-not-found]

    d_in, d_sae = start["W_enc"].shape
    trainer = TopKTrainer(
        steps=10**6,
        activation_dim=d_in,
        dict_size=d_sae,
        k=settings["k"],
        layer=0,
        lm_name="none",
        lr=settings["lr"],
        warmup_steps=0,
        device=settings["device"],
    )
    with torch.no_grad():
        trainer.ae.encoder.weight.copy_(start["W_enc"].T)
        trainer.ae.encoder.bias.copy_(start["b_enc"])
        trainer.ae.decoder.weight.copy_(start["W_dec"].T)
    trainer.num_tokens_since_fired[start["dead"]] = trainer.dead_feature_threshold
    numbers = iter(range(1, 10**6))
    return (
        lambda x: trainer.update(next(numbers), x),
        lambda: int((trainer.num_tokens_since_fired >= trainer.dead_feature_threshold).sum()),
    )


def sparsify_step(start: dict[str, Any], settings: dict[str, Any]) -> Any:
    """The step inside `Trainer.fit` (which needs a model), of its own parts and in its order."""
    import torch
    from sparsify import SparseCoder, SparseCoderConfig  # type: ignore[import-not-found]

    d_in, d_sae = start["W_enc"].shape
    config = SparseCoderConfig(num_latents=d_sae, k=settings["k"])
    coder = SparseCoder(d_in, config, device=settings["device"])
    with torch.no_grad():
        coder.encoder.weight.copy_(start["W_enc"].T)
        coder.encoder.bias.copy_(start["b_enc"])
        coder.W_dec.copy_(start["W_dec"])
    optimizer = torch.optim.Adam(coder.parameters(), lr=settings["lr"])
    since_fired = torch.zeros(d_sae, dtype=torch.long, device=settings["device"])
    since_fired[start["dead"]] = 2 * settings["threshold"]
    did_fire = torch.zeros(d_sae, dtype=torch.bool, device=settings["device"])

    def step(x: Any) -> float:
        coder.set_decoder_norm_to_unit_norm()
        variance = (x - x.mean(0)).pow(2).sum()
        dead = since_fired > settings["threshold"]
        out = coder(x=x, y=x, dead_mask=dead, total_variance=variance)
        did_fire[out.latent_indices.flatten()] = True
        loss = out.fvu + out.auxk_loss / 32
        loss.backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()
        since_fired.add_(x.shape[0])
        since_fired[did_fire] = 0
        did_fire.zero_()
        return float(loss.detach())

    return step, lambda: int((since_fired > settings["threshold"]).sum())


def worker(name: str, start_file: str, settings: dict[str, Any]) -> None:
    """Answer every line on standard input with the seconds of one step."""
    import torch
    from safetensors.torch import load_file

    torch.set_num_threads(settings["threads"])
    start = load_file(start_file, device=settings["device"])
    makers = {"dictionary_learning": dictionary_learning_step, "sparsify": sparsify_step}
    step, n_dead = makers[name](start, settings)
    batches = start["batches"]
    answer({"torch": torch.__version__})
    for number, _ in enumerate(sys.stdin):
        begin = time.perf_counter()
        loss = step(batches[number % len(batches)])
        if settings["device"] != "cpu":
            torch.cuda.synchronize()
        answer({"seconds": time.perf_counter() - begin, "loss": loss, "n_dead": n_dead()})


def answer(content: dict[str, Any]) -> None:
    """One line of JSON."""
    print(json.dumps(content), flush=True)


if __name__ == "__main__":
    worker(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
