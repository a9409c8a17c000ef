"""The arrays of a PEFT adapter, computed one tensor at a time and written as they come."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Shaped

from interp.abilities.adapters.adapter import Fit
from interp.abilities.adapters.adapter_layout import AdapterLayout, module_of, saved_name
from interp.abilities.adapters.low_rank import (
    Factors,
    flat_error,
    low_rank,
    squared_norm,
    squared_residual,
)
from interp.abilities.moving.weights import AbilityWeights
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.chunks import Chunk
from interp.abilities.streaming.layout import ArraySpec, file_layout
from interp.abilities.streaming.numbers import not_finite_at, to_numbers, to_words
from interp.results.errors import CorruptFile, Mismatch
from interp.results.progress import progress


@dataclass(frozen=True, kw_only=True)
class AdapterFile:
    """What an adapter holds: factors of its matrices, and whole tensors."""

    weights: AbilityWeights
    layout: AdapterLayout
    saved: tuple[str, ...]
    base: Checkpoint | None
    """None where nothing is saved whole."""
    rank: int

    def write(self, file: Path, *, seed: int) -> dict[str, Fit]:
        """Write every array in turn; how well each matrix fits the rank."""
        generator = torch.Generator().manual_seed(seed)
        head = file_layout(self._arrays(), metadata={"format": "pt"}).head
        fits = {}
        total = len(self.layout.low_rank) + len(self.saved)
        with file.open("wb") as handle, progress("exporting", total=total, unit="tensors") as step:
            handle.write(head)
            for name in self.layout.low_rank:
                factors, fits[name] = self._fitted(name, generator)
                handle.write(factors.wide.numpy().data)
                handle.write(factors.tall.numpy().data)
                step()
            for name in self.saved:
                handle.write(self._whole(name).data)
                step()
        return fits

    def config(self, base_name: str | None) -> dict[str, Any]:
        """What PEFT reads before the arrays."""
        modules = sorted(module_of(name) for name in self.layout.low_rank)
        apart = {module_of(name) for name in self.saved} - set(modules)
        biases = any(name.endswith(".bias") for name in self.saved)
        stacked = any(module.startswith(("encoder.", "decoder.")) for module in modules)
        return {
            "peft_type": "LORA",
            "task_type": "SEQ_2_SEQ_LM" if stacked else "CAUSAL_LM",
            "base_model_name_or_path": base_name,
            "r": self.rank,
            "lora_alpha": self.rank,
            "lora_dropout": 0.0,
            "target_modules": modules,
            "modules_to_save": sorted(apart) or None,
            "bias": "all" if biases else "none",
            "fan_in_fan_out": bool(self.layout.transposed),
            "inference_mode": True,
        }

    def _arrays(self) -> Iterator[ArraySpec]:
        for name in self.layout.low_rank:
            rows, columns = self._linear_shape(name)
            module = f"base_model.model.{module_of(name)}"
            yield ArraySpec(f"{module}.lora_A.weight", "F32", (self.rank, columns))
            yield ArraySpec(f"{module}.lora_B.weight", "F32", (rows, self.rank))
        for name in self.saved:
            shape = self.weights.tensors[name].support.shape
            yield ArraySpec(saved_name(name, self.layout), self._base().span(name).dtype, shape)

    def _linear_shape(self, name: str) -> tuple[int, ...]:
        shape = self.weights.tensors[name].support.shape
        return shape[::-1] if name in self.layout.transposed else shape

    def _fitted(self, name: str, generator: torch.Generator) -> tuple[Factors, Fit]:
        delta = torch.from_numpy(self._finite(name))
        if name in self.layout.transposed:
            delta = delta.mT.contiguous()
        factors = low_rank(delta, rank=self.rank, generator=generator)
        norm = squared_norm(delta) ** 0.5
        missed = squared_residual(delta, factors) ** 0.5
        flat = flat_error(tuple(delta.shape), self.rank)
        return factors, Fit(error=missed / norm if norm else 0.0, flat_error=flat, norm=norm)

    def _whole(self, name: str) -> Shaped[np.ndarray, " entries"]:
        base, span = self._base(), self._base().span(name)
        numbers = to_numbers(base.words(Chunk(name, 0, span.n_entries)), span.dtype)
        delta = torch.from_numpy(self._finite(name)).reshape(-1)
        merged = torch.where(delta == 0, numbers, numbers + delta)
        bad = not_finite_at(merged, span.dtype)
        if bad.size:
            raise Mismatch(
                f"tensor {name!r} becomes {float(merged[bad[0]])} at entry {bad[0]}, too large "
                f"for {span.dtype}: take less of the ability"
            )
        return to_words(merged, span.dtype)

    def _finite(self, name: str) -> Float32[np.ndarray, "..."]:
        delta = self.weights.dense(name)
        if not np.isfinite(delta).all():
            raise CorruptFile(f"tensor {name!r} of the weights holds NaN or infinity")
        return delta

    def _base(self) -> Checkpoint:
        assert self.base is not None, "whole tensors are saved only with a base"
        return self.base
