"""Export: ability weights as a PEFT LoRA adapter of stated rank and stated error."""

import json
from contextlib import ExitStack
from pathlib import Path

from interp.abilities.adapters.adapter import Fit, LowRankAdapter
from interp.abilities.adapters.adapter_file import AdapterFile
from interp.abilities.adapters.adapter_layout import AdapterLayout, adapter_layout, check_rank
from interp.abilities.moving.weights import AbilityWeights
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.models.hub import directory_of
from interp.models.identity import model_identity
from interp.results.atomic import atomic_directory, check_out
from interp.results.errors import BadInput, Mismatch, Unsupported
from interp.results.hashing import sha256_json
from interp.results.provenance import Provenance

DATA = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def export(
    weights: AbilityWeights | str | Path,
    out: str | Path,
    *,
    rank: int,
    base: str | Path | None = None,
    modules_to_save: bool = False,
    leave_out: bool = False,
    seed: int = 0,
    overwrite: bool = False,
    hash_cache: Path | None = None,
) -> LowRankAdapter:
    """A LoRA adapter (2106.09685) of the weights, written to `out` for PEFT to load on the base.

    Every matrix of a linear layer becomes B A, its best approximation of that rank, with alpha =
    rank so that PEFT's scale is 1; the error stands in `header.json` beside it. Norms, biases and
    embeddings have no low rank: with `modules_to_save` the adapter holds them whole (base plus
    weights, which needs `base`); with `leave_out` what no part of it can hold is left out and
    counts in the error; otherwise Unsupported names it. One tensor at a time is in memory. Patches,
    which repair single roundings of a transfer, are not in an adapter.
    """
    opened = weights if isinstance(weights, AbilityWeights) else AbilityWeights.load(Path(weights))
    out, rank = Path(out), check_rank(rank)
    check_out(out, replace=overwrite)
    touched = {name: t.support.shape for name, t in opened.tensors.items() if t.support.count}
    layout = adapter_layout(touched, opened.base.tied)
    saved = layout.whole if modules_to_save else ()
    left_out = tuple(sorted({*layout.whole, *layout.never} - {*saved}))
    if left_out and not leave_out:
        raise _refusal(layout, left_out, n=len(touched))
    if not layout.low_rank:
        raise Unsupported("the ability has weights in no linear layer: there is nothing to factor")
    with ExitStack() as files:
        model = None
        if saved:
            model = files.enter_context(Checkpoint(_base(opened, base, cache=hash_cache)))
        file = AdapterFile(weights=opened, layout=layout, saved=saved, base=model, rank=rank)
        with atomic_directory(out, replace=overwrite) as directory:
            fits = file.write(directory / DATA, seed=seed)
            config = file.config(None if base is None else str(base))
            (directory / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
            adapter = _adapter(opened, fits, saved=saved, left_out=left_out, rank=rank, seed=seed)
            adapter.save(directory)
    return adapter


def _refusal(layout: AdapterLayout, left_out: tuple[str, ...], *, n: int) -> Unsupported:
    never = f"; {len(layout.never)} of them in no way" if layout.never else ""
    return Unsupported(
        f"{left_out[0]!r} is no matrix of a linear layer, {len(left_out)} of {n} tensors have no "
        f"low rank: pass --modules-to-save and --base to hold them whole{never}, --leave-out to "
        "drop what does not fit, or extract with a mask without them"
    )


def _base(weights: AbilityWeights, base: str | Path | None, *, cache: Path | None) -> Path:
    """The directory of the base, after its root was found to be the weights' own."""
    if base is None:
        raise BadInput("--modules-to-save holds base and weights together: give --base")
    directory = directory_of(base)
    root = model_identity(directory, cache=cache).root
    if root != weights.base.root:
        raise Mismatch(
            f"the ability is of the base {weights.base.root[:12]}; {directory} is {root[:12]}: "
            "give that base"
        )
    return directory


def _adapter(
    weights: AbilityWeights,
    fits: dict[str, Fit],
    *,
    saved: tuple[str, ...],
    left_out: tuple[str, ...],
    rank: int,
    seed: int,
) -> LowRankAdapter:
    dropped = sum(_square(weights, name) for name in left_out)
    kept = sum(_square(weights, name) for name in saved)
    norms = [fit.norm**2 for fit in fits.values()]
    whole = sum(norms) + kept + dropped
    missed = sum(fit.error**2 * norm for fit, norm in zip(fits.values(), norms, strict=True))
    flat = sum(fit.flat_error**2 * norm for fit, norm in zip(fits.values(), norms, strict=True))
    settings = {"rank": rank, "saved": list(saved), "left_out": list(left_out)}
    return LowRankAdapter(
        rank=rank,
        error=((missed + dropped) / whole) ** 0.5 if whole else 0.0,
        flat_error=((flat + dropped) / whole) ** 0.5 if whole else 0.0,
        tensors=fits,
        saved=saved,
        left_out=left_out,
        base=weights.base.root,
        weights=weights.digest,
        provenance=Provenance.collect(
            "interp ability export",
            model_hash=sha256_json([weights.base.root, weights.base.config_digest]),
            corpus_hash=None,
            seed=seed,
            settings={**settings, "weights": weights.digest},
        ),
    )


def _square(weights: AbilityWeights, name: str) -> float:
    delta = weights.tensors[name].delta.astype("float64")
    return float(delta @ delta)
