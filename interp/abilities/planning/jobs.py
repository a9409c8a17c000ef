"""What every job on weights at rest does, as passes: bytes, entries and memory of each."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from interp.abilities.masks.support import INDEX_BELOW
from interp.abilities.planning.model_size import ModelSize, bytes_of, entries_of, file_bytes
from interp.abilities.planning.plan import Pass, Plan
from interp.abilities.planning.rates import SUPPOSED, Rates
from interp.abilities.streaming.chunks import CHUNK, THREADS
from interp.abilities.streaming.layout import ArraySpec, file_layout
from interp.models.weight_files import BYTES_OF

LIBRARIES = 700 << 20
"""Resident bytes of the interpreter with torch and transformers loaded."""
_IN_FLIGHT = 2 * THREADS + 1
_PER_CHUNK = 600
_WORDS = {1: "U8", 2: "U16", 4: "U32", 8: "U64"}
_OPERATIONS_A_TOKEN = 6
"""Of a training, for every parameter: forward 2, backward 4."""
_UNKNOWN = 1 << 62


class Share(NamedTuple):
    """How an ability's entries lie in one tensor."""

    tensor: ArraySpec
    encoding: str
    count: int
    data: ArraySpec
    """Its support as an array of the ability's file."""


def shares_of(tensors: Sequence[ArraySpec], share: float | None) -> list[Share]:
    """Every tensor with the same share of its entries, packed as a mask packs them; None: all.

    In the order of an ability's file, by name: the length of its header depends on it.
    """
    return [_share(tensor, share) for tensor in sorted(tensors, key=lambda tensor: tensor.name)]


def plan_locate(
    base: ModelSize, trained: ModelSize | None = None, *, rates: Rates = SUPPOSED
) -> Plan:
    """Ranking by change between two directories: three passes over both, two of them to hash."""
    trained = trained or base.as_dtype("F32")
    ranked = {tensor.name for tensor in base.ranked}
    both = [[t for t in model.tensors if t.name in ranked] for model in (base, trained)]
    reads, entries = sum(map(bytes_of, both)), entries_of(both[0])
    mask = sum(-(-math.prod(tensor.shape) // 8) for tensor in both[0])
    memory = _streaming_memory([base, trained]) + 2 * mask
    scores = [
        Pass(name=name, reads=reads, entries=entries, memory=memory)
        for name in ("rank upper halves", "rank lower halves", "mark the chosen")
    ]
    written = mask + (1 << 19) + 400 * len(both[0])
    save = Pass(name="write the mask", writes=written, hashed=written, memory=memory)
    return _plan(
        "locate",
        base,
        (*_identify([base, trained]), *scores, save),
        outputs={"mask, at most": written},
        rates=rates,
        exact=base.exact and trained.exact,
    )


def plan_extract(
    base: ModelSize,
    ability: ModelSize | None = None,
    general: ModelSize | None = None,
    *,
    shares: Sequence[Share] | None = None,
    patched: bool = False,
    rates: Rates = SUPPOSED,
) -> Plan:
    """Ability weights: one pass over two models, or three with a general control.

    `patched`: alpha 1 and beta 0, whose patch list depends on the values and is not counted.
    """
    ability = ability or base
    models = [base, ability, *([general] if general is not None else [])]
    known = shares is not None
    shares = shares_of(base.floats, None) if shares is None else list(shares)
    chosen = {share.tensor.name for share in shares if share.count}
    reads = sum(bytes_of(t for t in model.tensors if t.name in chosen) for model in models)
    written = ability_bytes(shares, ability, patched=patched)
    memory = _streaming_memory(models) + 2 * bytes_of(share.data for share in shares)
    write = Pass(
        name="subtract and write",
        reads=reads,
        writes=written,
        entries=entries_of(t for t in base.tensors if t.name in chosen),
        memory=memory,
    )
    check = Pass(name="hash the result", reads=written, hashed=written, memory=memory)
    notes = ("the patch list comes on top: 8 bytes and a number for every missed entry",)
    return _plan(
        "extract",
        base,
        (*_identify(models), write, check),
        outputs={"ability weights": written},
        rates=rates,
        exact=all(model.exact for model in models) and known,
        notes=notes if patched else (),
    )


def plan_transfer(
    base: ModelSize,
    languages: Sequence[ModelSize] = (),
    *,
    shares: Sequence[Share] | None = None,
    ability_file: int | None = None,
    selects: bool = False,
    dtype: str | None = None,
    keeps_undo: bool = True,
    rates: Rates = SUPPOSED,
) -> Plan:
    """base + ability + languages: one pass over every model, and one more if tensors are selected.

    `ability_file`: bytes of the ability's data file, where it is there to see.
    """
    known = shares is not None and ability_file is not None
    shares = shares_of(base.floats, None) if shares is None else list(shares)
    ability = ability_bytes(shares, base, patched=False) if ability_file is None else ability_file
    models = [base, *languages]
    memory = _streaming_memory(models) + 2 * bytes_of(share.data for share in shares)
    output = base if dtype is None or dtype == base.dtype else base.as_dtype(dtype)
    undo = undo_bytes(base, shares, dense=bool(languages))
    undo = undo if keeps_undo and output is base else 0
    passes = [
        *_identify(models),
        Pass(name="hash the ability", reads=ability, hashed=ability, memory=memory),
    ]
    if selects and languages:
        chosen = {share.tensor.name for share in shares if share.count}
        reads = sum(bytes_of(t for t in model.tensors if t.name in chosen) for model in models)
        passes.append(
            Pass(
                name="compare with the languages",
                reads=reads + ability,
                entries=entries_of(t for t in base.tensors if t.name in chosen),
                memory=memory,
            )
        )
    reads = base.n_bytes + sum(bytes_of(model.floats) for model in languages) + ability
    passes.append(
        Pass(
            name="add and write",
            reads=reads,
            writes=sum(output.files) + undo,
            entries=base.n,
            hashed=2 * output.n_bytes,
            memory=memory,
        )
    )
    outputs = {"model": sum(output.files), "config and tokenizer": output.companions}
    return _plan(
        "transfer",
        base,
        tuple(passes),
        outputs={**outputs, "undo, at most": undo} if undo else outputs,
        rates=rates,
        exact=known and all(model.exact for model in models) and output is base,
    )


def plan_merge(
    base: ModelSize,
    models: Sequence[ModelSize],
    *,
    method: str = "task_arithmetic",
    dtype: str | None = None,
    rates: Rates = SUPPOSED,
) -> Plan:
    """A merge of whole models: one pass, after one or more that measure, tensor by tensor."""
    output = base if dtype is None or dtype == base.dtype else base.as_dtype(dtype)
    everything = [base, *models]
    memory = _streaming_memory(everything)
    reads = sum(bytes_of(model.floats) for model in everything)
    measured = [
        Pass(name=name, reads=reads, entries=base.n * len(models), memory=memory)
        for name in _MEASURED.get(method, ())
    ]
    write = Pass(
        name="merge and write",
        reads=reads,
        writes=sum(output.files),
        entries=base.n * len(models),
        hashed=2 * output.n_bytes,
        memory=memory,
    )
    return _plan(
        f"merge by {method}",
        base,
        (*_identify(everything), *measured, write),
        outputs={"model": sum(output.files), "config and tokenizer": output.companions},
        rates=rates,
        exact=False,
        notes=("passes that measure a tensor find it in the page cache if memory allows",)
        if measured
        else (),
    )


def plan_maet(
    base: ModelSize,
    languages: Sequence[ModelSize] = (),
    *,
    share: float = 0.05,
    steps: tuple[int, int] = (100, 400),
    tokens_a_step: int = 128 * 64,
    rates: Rates = SUPPOSED,
) -> Plan:
    """MAET whole: locate by a short training, two masked trainings, extract, transfer.

    `steps`: of the short training, and of each masked one. Trainings are in float32, with gradients
    and two moments of every trained entry.
    """
    float32 = base.as_dtype("F32")
    chosen = shares_of(base.ranked, share)
    n_chosen = sum(one.count for one in chosen)
    whole = LIBRARIES + 4 * 4 * base.n
    masked = LIBRARIES + 2 * 4 * base.n + (8 + 4 * 4) * n_chosen

    def training(name: str, n_steps: int, memory: int, *, keeps: bool) -> Pass:
        return Pass(
            name=name,
            reads=base.n_bytes,
            writes=sum(float32.files) if keeps else 0,
            operations=_OPERATIONS_A_TOKEN * base.n * n_steps * tokens_a_step,
            memory=memory,
        )

    passes = (
        training("locate by a short training", steps[0], whole + 2 * 4 * base.n, keeps=False),
        training("train the ability", steps[1], masked, keeps=True),
        training("train the control", steps[1], masked, keeps=True),
        *plan_extract(base, float32, float32, shares=chosen, rates=rates).passes,
        *plan_transfer(base, languages, shares=chosen, selects=True, rates=rates).passes,
    )
    transferred = plan_transfer(base, languages, shares=chosen, selects=True)
    return _plan(
        "maet",
        base,
        passes,
        outputs={
            "ability model": sum(float32.files) + base.companions,
            "control": sum(float32.files) + base.companions,
            "mask, at most": bytes_of(one.data for one in chosen),
            "ability weights": ability_bytes(chosen, float32, patched=False),
            **transferred.outputs,
        },
        rates=rates,
        exact=False,
        notes=("activations of a training are not in its memory: they grow with batch and length",),
    )


def ability_bytes(shares: Sequence[Share], ability: ModelSize, *, patched: bool) -> int:
    """Bytes of the data file of ability weights, without patches."""
    dtypes = {tensor.name: tensor.dtype for tensor in ability.tensors}

    def arrays(patches: int) -> list[ArraySpec]:
        found = [ArraySpec(f"delta.{s.tensor.name}", "F32", (s.count,)) for s in shares]
        found += [s.data for s in shares]
        for one in shares:
            name = one.tensor.name
            bits = _WORDS[BYTES_OF[dtypes.get(name, one.tensor.dtype)]]
            found.append(ArraySpec(f"patch_positions.{name}", "U64", (patches,)))
            found.append(ArraySpec(f"patch_bits.{name}", bits, (patches,)))
        return found

    head = len(file_layout(arrays(_UNKNOWN)).head) if patched else 0
    return file_bytes(arrays(0), head_bytes=head)


def undo_bytes(base: ModelSize, shares: Sequence[Share], *, dense: bool) -> int:
    """Bytes that undoing takes at most: bitmaps, and the original of every entry that may change.

    Where most entries change the base itself is the undo, so never more than half are kept.
    """
    counts = {one.tensor.name: one.count for one in shares}
    bounds = {
        tensor: math.prod(tensor.shape) if dense else counts.get(tensor.name, 0)
        for tensor in base.floats
    }
    touched = {tensor: bound for tensor, bound in bounds.items() if bound}
    if not touched:
        return 0
    words = sum(BYTES_OF[tensor.dtype] * bound for tensor, bound in touched.items())
    widest = max(BYTES_OF[tensor.dtype] for tensor in touched)
    head = file_layout(
        [
            *(
                ArraySpec(f"changed.{t.name}", "U8", (-(-math.prod(t.shape) // 8),))
                for t in touched
            ),
            *(
                ArraySpec(f"words.{t.name}", _WORDS[BYTES_OF[t.dtype]], (bound,))
                for t, bound in touched.items()
            ),
        ]
    )
    bitmaps = sum(-(-math.prod(tensor.shape) // 8) for tensor in touched)
    return len(head.head) + bitmaps + min(words, widest * (base.n // 2))


_MEASURED = {
    "ties": ("rank upper halves", "rank lower halves", "place equal sizes"),
    "dare_ties": ("measure",),
    "dare_linear": ("measure",),
    "slerp": ("measure norms",),
}


def _share(tensor: ArraySpec, share: float | None) -> Share:
    n = math.prod(tensor.shape)
    name = f"support.{tensor.name}"
    if share is None or share >= 1:
        return Share(tensor, "all", n, ArraySpec(name, "U8", (0,)))
    count = int(share * n + 1e-9)
    if count < n * INDEX_BELOW:
        return Share(
            tensor, "index", count, ArraySpec(name, "U32" if n < 1 << 32 else "U64", (count,))
        )
    return Share(tensor, "bitmap", count, ArraySpec(name, "U8", (-(-n // 8),)))


def _streaming_memory(models: Sequence[ModelSize]) -> int:
    """Chunks in flight with their float copies, and the list of all chunks."""
    widths = sum(BYTES_OF[model.dtype] for model in models)
    in_flight = _IN_FLIGHT * CHUNK * (widths + 8 * (len(models) + 3))
    return LIBRARIES + in_flight + _PER_CHUNK * (models[0].n // CHUNK + len(models[0].tensors))


def _identify(models: Sequence[ModelSize]) -> tuple[Pass, ...]:
    read = sum(model.n_bytes for model in models)
    return (Pass(name="hash the models", reads=read, hashed=read, memory=LIBRARIES),)


def _plan(
    job: str,
    base: ModelSize,
    passes: tuple[Pass, ...],
    *,
    outputs: dict[str, int],
    rates: Rates,
    exact: bool,
    notes: tuple[str, ...] = (),
) -> Plan:
    return Plan(
        job=job,
        model=base.name,
        n=base.n,
        n_bytes=base.n_bytes,
        dtype=base.dtype,
        exact=exact,
        passes=passes,
        outputs=outputs,
        rates=rates,
        notes=notes,
    )
