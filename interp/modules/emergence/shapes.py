"""A series must be one model: the same tensors of the same shapes at every checkpoint."""

from collections.abc import Sequence
from pathlib import Path

from interp.models.hub import directory_of
from interp.models.series import Checkpoint
from interp.models.weight_files import locate_tensors
from interp.results.errors import Mismatch

Shapes = dict[str, tuple[int, ...]]


def refuse_other_shapes(series: Sequence[Checkpoint]) -> None:
    """Mismatch naming the first checkpoint and tensor that differ; reads the files' headers alone.

    Of a hub series nothing is fetched here: each checkpoint is compared when its turn comes.
    """
    local = [checkpoint for checkpoint in series if checkpoint.revision is None]
    if len(local) < 2:
        return
    first = tensor_shapes(local[0].ref)
    for checkpoint in local[1:]:
        compare_shapes(first, tensor_shapes(checkpoint.ref), local[0].step, checkpoint.step)


def tensor_shapes(ref: Path | str) -> Shapes:
    """Shape of every tensor in a model's files."""
    return {name: tuple(span.shape) for name, span in locate_tensors(directory_of(ref)).items()}


def compare_shapes(first: Shapes, other: Shapes, first_step: int, other_step: int) -> None:
    """Mismatch where the two differ in a tensor's name or shape."""
    for name in [*first, *other]:
        one, two = first.get(name), other.get(name)
        if one != two:
            raise Mismatch(
                f"the series holds models of different shapes: {name} is {_shape(one)} at step "
                f"{first_step} and {_shape(two)} at step {other_step}; give the checkpoints of one "
                "training run"
            )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "not there" if shape is None else "x".join(map(str, shape)) or "one number"
