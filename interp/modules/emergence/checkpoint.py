"""CheckpointRecord: what is kept of one checkpoint, so that a series can be gone on with."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int32, Int64

from interp.neurons.coactivation import Coactivation
from interp.neurons.scores import NeuronScores
from interp.neurons.sparsity.stats import SparsityStats
from interp.results.atomic import write_json
from interp.results.errors import CorruptFile
from interp.results.finding import load_finding, save_finding

SCHEMA = "interp.emergence-checkpoint/1"
LAYER_SCHEMA = "interp.emergence-layer/1"
_MARKER, _SPARSITY, _LAYERS = "interp.json", "sparsity", "layers"
_ARRAYS = ("starts", "dead", "coactive")


@dataclass(frozen=True, kw_only=True)
class LayerRecord:
    """One layer of one checkpoint."""

    scores: NeuronScores
    starts: Int32[np.ndarray, "starts neurons"]
    """The expert of every neuron under each start of clustering the weights."""
    dead: Bool[np.ndarray, " neurons"]
    """Neurons that no token activated."""
    coactive: Int64[np.ndarray, " followed"]
    """The neurons whose co-activation was followed; the same at every checkpoint."""
    whole: Coactivation
    halves: tuple[Coactivation, Coactivation]
    """Over the sequences of even and of odd numbers."""

    def save(self, directory: Path, layer: int) -> None:
        """Write into the folder of a checkpoint."""
        arrays: dict[str, np.ndarray] = {name: getattr(self, name) for name in _ARRAYS}
        parts = (self.whole, *self.halves)
        for i, part in enumerate(parts):
            arrays |= {f"phi.{i}": part.phi, f"rates.{i}": part.rates}
        path = directory / _LAYERS / str(layer)
        header = {"n": [part.n for part in parts]}
        save_finding(path / "record", schema=LAYER_SCHEMA, header=header, arrays=arrays)
        self.scores.save(path / "scores")

    @classmethod
    def load(cls, directory: Path, layer: int) -> "LayerRecord":
        """Read one layer of a checkpoint's folder; CorruptFile if it was altered."""
        path = directory / _LAYERS / str(layer)
        header, arrays = load_finding(path / "record", schema=LAYER_SCHEMA)
        try:
            whole, even, odd = (
                Coactivation(phi=arrays[f"phi.{i}"], rates=arrays[f"rates.{i}"], n=n)
                for i, n in enumerate(header["n"])
            )
            own = {name: arrays[name] for name in _ARRAYS}
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFile(f"{path} lacks {error}: delete {directory} and run again") from error
        scores = NeuronScores.load(path / "scores")
        return cls(scores=scores, **own, whole=whole, halves=(even, odd))


@dataclass(frozen=True, kw_only=True)
class CheckpointRecord:
    """A finished checkpoint on disk. Layers are read one at a time: phi has an entry a pair."""

    path: Path
    step: int
    model_hash: str | None
    sparsity: SparsityStats

    def layer(self, layer: int) -> LayerRecord:
        """One layer, from disk."""
        return LayerRecord.load(self.path, layer)

    @staticmethod
    def finish(directory: Path, *, step: int, model_hash: str | None, found: SparsityStats) -> None:
        """Write what stands beside the layers, into the folder of a checkpoint."""
        found.save(directory / _SPARSITY)
        content = {"schema": SCHEMA, "step": step, "model_hash": model_hash}
        write_json(directory / _MARKER, content)

    @classmethod
    def load(cls, path: Path) -> "CheckpointRecord":
        """A finished checkpoint. Raises CorruptFile if it was altered."""
        try:
            content = json.loads((path / _MARKER).read_text(encoding="utf-8"))
            step, model_hash = int(content["step"]), content["model_hash"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptFile(f"{path} is no whole checkpoint ({error}): delete it") from error
        sparsity = SparsityStats.load(path / _SPARSITY)
        return cls(path=path, step=step, model_hash=model_hash, sparsity=sparsity)
