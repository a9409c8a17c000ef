"""From what a user names, a directory, a config or a public model, to the plan of a job."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from interp.abilities.planning.jobs import (
    Share,
    plan_extract,
    plan_locate,
    plan_maet,
    plan_merge,
    plan_transfer,
    shares_of,
)
from interp.abilities.planning.model_size import (
    ModelSize,
    size_from_config,
    size_like,
    size_of,
)
from interp.abilities.planning.plan import Plan
from interp.abilities.planning.rates import SUPPOSED, Rates
from interp.abilities.streaming.layout import ArraySpec
from interp.models.hub import directory_of
from interp.models.weight_files import float_format
from interp.results.errors import BadInput, CorruptFile, Mismatch
from interp.results.finding import DATA, read_header

Job = Literal["locate", "extract", "transfer", "merge", "maet"]
MASK, ABILITY = "interp.mask/1", "interp.ability/1"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A job that is asked about; exactly one of base, config and like."""

    job: Job
    base: str | None = None
    config: Path | None = None
    like: str | None = None
    ability: Path | None = None
    """extract: the ability model. transfer: ability weights. locate: the model trained shortly."""
    general: Path | None = None
    languages: tuple[str, ...] = ()
    """transfer, maet: language models. merge: the models to merge. Names that are no directory
    stand for models like the base."""
    mask: Path | None = None
    share: float | None = None
    """Of the entries, where there is no mask yet; None: all of them."""
    k2: float = 1.0
    method: str = "task_arithmetic"
    dtype: str | None = None
    """Of a model that is known by config or name only, and of what is written else."""
    steps: tuple[int, int] = (100, 400)
    tokens_a_step: int = 128 * 64
    rates: Rates = field(default=SUPPOSED)


def plan_of(request: Request) -> Plan:
    """The plan of a job. BadInput unless one base is named, and for options that do not fit."""
    base = _base(request)
    if request.job == "locate":
        trained = None if request.ability is None else size_of(request.ability)
        return plan_locate(base, trained, rates=request.rates)
    if request.job == "extract":
        return _extract(request, base)
    if request.job == "transfer":
        return _transfer(request, base)
    others = [_other(name, base) for name in request.languages]
    if request.job == "merge":
        return plan_merge(
            base,
            others or [base, base],
            method=request.method,
            dtype=_written(request, base),
            rates=request.rates,
        )
    return plan_maet(
        base,
        others or [base],
        share=0.05 if request.share is None else request.share,
        steps=request.steps,
        tokens_a_step=request.tokens_a_step,
        rates=request.rates,
    )


def _extract(request: Request, base: ModelSize) -> Plan:
    ability = None if request.ability is None else size_of(request.ability)
    general = None if request.general is None else size_of(request.general)
    shares = None
    if request.mask is not None:
        shares = [s for s in _shares_in(request.mask, MASK, base) if s.count]
    elif request.share is not None:
        shares = shares_of(base.ranked, request.share)
    elif base.exact:
        shares = shares_of(base.floats, None)
    return plan_extract(
        base, ability, general, shares=shares, patched=general is None, rates=request.rates
    )


def _transfer(request: Request, base: ModelSize) -> Plan:
    shares, ability_file = None, None
    if request.ability is not None:
        shares = _shares_in(request.ability, ABILITY, base)
        ability_file = (request.ability / DATA).stat().st_size
    elif request.share is not None:
        shares = shares_of(base.ranked, request.share)
    return plan_transfer(
        base,
        [_other(name, base) for name in request.languages],
        shares=shares,
        ability_file=ability_file,
        selects=request.k2 < 1,
        dtype=_written(request, base),
        rates=request.rates,
    )


def _base(request: Request) -> ModelSize:
    named = [one for one in (request.base, request.config, request.like) if one is not None]
    if len(named) != 1:
        there = f", not {' and '.join(map(str, named))}" if named else ""
        raise BadInput(
            f"name one model: a directory, --config or --like{there}; the job goes into --job"
        )
    if request.base is not None:
        return size_of(directory_of(request.base))
    if request.config is not None:
        return size_from_config(request.config, dtype=request.dtype)
    return size_like(request.like or "", dtype=request.dtype)


def _written(request: Request, base: ModelSize) -> str | None:
    """The output's format as safetensors names it; a supposed model is in its own already."""
    if request.dtype is None or not base.exact:
        return None
    return float_format(request.dtype)


def _other(name: str, base: ModelSize) -> ModelSize:
    return size_of(directory_of(name)) if base.exact else base


def _shares_in(path: Path, schema: str, base: ModelSize) -> Sequence[Share]:
    """The supports of a mask or of ability weights, from its header alone."""
    entries = read_header(path, schema=schema).get("tensors")
    by_name = {tensor.name: tensor for tensor in base.tensors}
    shares = []
    try:
        for name, entry in dict(entries or {}).items():
            tensor = by_name.get(name)
            if tensor is None or list(tensor.shape) != entry["shape"]:
                raise Mismatch(f"{path} is of {name!r}, which {base.name} has not in that shape")
            shares.append(_held(tensor, str(entry["encoding"]), int(entry["count"])))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptFile(f"the header of {path} lacks or garbles {error}") from error
    return shares


def _held(tensor: ArraySpec, encoding: str, count: int) -> Share:
    n = math.prod(tensor.shape)
    dtype, size = {
        "all": ("U8", 0),
        "bitmap": ("U8", -(-n // 8)),
        "index": ("U32" if n < 1 << 32 else "U64", count),
    }[encoding]
    array = ArraySpec(f"support.{tensor.name}", dtype, (size,))
    return Share(tensor, encoding, count, array)
