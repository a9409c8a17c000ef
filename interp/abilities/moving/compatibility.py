"""What must agree before weights are subtracted or added: refused by name, before any work."""

from collections.abc import Collection, Iterable

import numpy as np

from interp.abilities.masks.support import Support
from interp.abilities.moving.lineage import known_ancestors
from interp.abilities.moving.weights import AbilityTensor, AbilityWeights
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.numbers import FLOATS
from interp.models.architectures import read_config
from interp.models.identity import ModelIdentity, is_vocabulary, tied_pairs
from interp.models.tokenizer import tokenizer_digest
from interp.models.weight_files import TensorSpan
from interp.results.errors import Mismatch, Unsupported


def is_float(span: TensorSpan) -> bool:
    """Whether arithmetic applies to a tensor: whole numbers and booleans are copied.

    Raises Unsupported for 8-bit floats, whose values depend on scales kept elsewhere.
    """
    if span.dtype.startswith("F8"):
        raise Unsupported(
            f"tensor {span.name!r} of {span.file} is quantised ({span.dtype}): use the model's "
            "float16, bfloat16 or float32 weights"
        )
    return span.dtype in FLOATS


def check_same_tensors(
    base: Checkpoint, other: Checkpoint, *, cast: bool, tables: Collection[str] = ()
) -> None:
    """Mismatch unless both models hold the same tensors in the same shapes.

    And in the same number formats, unless `cast`. Of `tables` the number of rows may differ.
    """
    missing = sorted(base.spans.keys() - other.spans.keys())
    extra = sorted(other.spans.keys() - base.spans.keys())
    if missing:
        raise Mismatch(f"{other.directory} lacks {missing[0]!r}, which {base.directory} holds")
    if extra:
        raise Mismatch(f"{other.directory} holds {extra[0]!r}, which {base.directory} lacks")
    for name, span in base.spans.items():
        where = str(other.span(name).file)
        check_shape(span, other.span(name).shape, where=where, rows_too=name not in tables)
        if other.span(name).dtype != span.dtype and is_float(span) and not cast:
            raise Mismatch(
                f"tensor {name!r} is {other.span(name).dtype} in {other.span(name).file} and "
                f"{span.dtype} in {span.file}: pass --cast to compute with both"
            )


def check_shape(
    span: TensorSpan, shape: tuple[int, ...], *, where: str, rows_too: bool = True
) -> None:
    """Mismatch unless a tensor has the shape that it has in the base (rows aside if asked)."""
    first = 0 if rows_too else 1
    if len(span.shape) != len(shape) or span.shape[first:] != shape[first:]:
        raise Mismatch(
            f"tensor {span.name!r} is {list(shape)} in {where} and {list(span.shape)} in "
            f"{span.file}: these models do not have one architecture"
        )


def check_ability(
    base: Checkpoint, weights: AbilityWeights, *, tables: Collection[str] = ()
) -> None:
    """Mismatch unless every tensor of the ability is in the base, in the same shape.

    Of `tables` the number of rows may differ.
    """
    for name, tensor in weights.tensors.items():
        if name not in base.spans:
            raise Mismatch(f"{base.directory} lacks {name!r}, which the ability has weights in")
        span = base.span(name)
        shape, loose = tensor.support.shape, name in tables
        check_shape(span, shape, where="the ability", rows_too=not loose)
        if not is_float(span):
            raise Mismatch(f"tensor {name!r} of {span.file} is {span.dtype}: nothing can be added")


def vocabulary_tensors(names: Iterable[str]) -> list[str]:
    """The embedding and the output head: the tensors with a row for every token."""
    return sorted(name for name in names if is_vocabulary(name))


def check_vocabulary(
    base: Checkpoint, digest: str | None, touched: Iterable[str], *, where: str
) -> None:
    """Mismatch if token rows are touched and the other side's tokenizer is another.

    Sides without a tokenizer cannot be told apart and pass.
    """
    own = tokenizer_digest(base.directory)
    rows = vocabulary_tensors(touched)
    if own is None or digest is None or own == digest or not rows:
        return
    raise Mismatch(
        f"{where} has another tokenizer than {base.directory}, so the rows of {rows[0]!r} stand "
        "for other tokens: pass --skip-embeddings to leave these tensors as they are in the base"
    )


def check_lineage(
    base: Checkpoint, identity: ModelIdentity, abilities: Iterable[AbilityWeights], *, force: bool
) -> None:
    """Mismatch unless the abilities are of this base or of a model it was made from."""
    family = {identity.root, *known_ancestors(base.directory, identity.root)}
    for weights in abilities:
        if weights.base.root not in family and not force:
            raise Mismatch(
                f"the ability is of the base {weights.base.root[:12]}; {base.directory} is "
                f"{identity.root[:12]} and does not descend from it: give that base and this model "
                "as --language, or pass --force"
            )


def check_tied(
    base: Checkpoint, others: Iterable[Checkpoint], abilities: Iterable[AbilityWeights]
) -> None:
    """Mismatch if a tied pair is stored twice and its two copies do not stay equal."""
    pairs = [
        (head, embedding)
        for head, embedding in tied_pairs(base.spans, read_config(base.directory))
        if head in base.spans
    ]
    for head, embedding in pairs:
        for model in (base, *others):
            if not same_bits(model, head, embedding):
                raise Mismatch(
                    f"{head!r} and {embedding!r} of {model.span(head).file} are tied by the config "
                    "and differ: set tie_word_embeddings to false, or fetch the model again"
                )
        for weights in abilities:
            if not same_change(weights.tensors.get(head), weights.tensors.get(embedding)):
                raise Mismatch(
                    f"{head!r} and {embedding!r} are tied and the ability changes them "
                    "differently: leave both out of the mask, or put the same entries of both in"
                )


def check_tied_mask(base: Checkpoint, supports: dict[str, Support]) -> None:
    """Mismatch if a mask takes other entries of an output head than of the embedding tied to it."""
    for head, embedding in tied_pairs(base.spans, read_config(base.directory)):
        one, two = supports.get(head), supports.get(embedding)
        if head in base.spans and not _same_support(one, two):
            raise Mismatch(f"{head!r} and {embedding!r} are tied and the mask differs on them")


def same_bits(model: Checkpoint, one: str, two: str) -> bool:
    """Whether two tensors of a model are equal in format, shape and every bit."""
    first, second = model.span(one), model.span(two)
    if (first.shape, first.dtype) != (second.shape, second.dtype):
        return False
    return all(
        model.words(chunk).tobytes() == model.words(chunk._replace(name=two)).tobytes()
        for chunk in model.chunks([one])
    )


def _same_support(one: Support | None, two: Support | None) -> bool:
    if one is None or two is None or not one.count or not two.count:
        return (one is None or not one.count) and (two is None or not two.count)
    return one.encoding == two.encoding and np.array_equal(one.data, two.data)


def same_change(one: AbilityTensor | None, two: AbilityTensor | None) -> bool:
    """Whether an ability changes two tensors alike; None and no entries are no change."""
    supports = [tensor.support if tensor else None for tensor in (one, two)]
    if not _same_support(*supports):
        return False
    return one is None or two is None or np.array_equal(one.delta, two.delta)
