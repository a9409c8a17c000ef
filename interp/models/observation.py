"""What every hook of a model hands out, seen in two forward passes over a few tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

SHAPES = ((2, 3), (3, 4))
"""Batch and pos of the two passes: an axis is one of tokens if it follows them."""
# Marks our hooks, so that taking them off leaves the caller's.
_LEVEL = -1


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One hook's output."""

    hook: int
    """Identity of the hook: several names may lead to it."""
    tensor: object
    """Equal for hooks that hand out the same memory with the same content."""
    order: int
    """When it was passed."""
    shape: tuple[int, ...]
    """Of one token's entry; of the whole tensor where `has_tokens` is False."""
    flattened: bool
    has_tokens: bool


@dataclass(frozen=True)
class _Sighting:
    tensor: Tensor
    checksum: float
    order: int


def observe(bridge: TransformerBridge) -> dict[int, Observed]:
    """By identity of the hook, what each hook that the forward passes hands out.

    Leaves the caller's hooks where they are, and the model as it was.
    """
    first, second = (_run(bridge, *shape) for shape in SHAPES)
    return {hook: _observed(hook, first[hook], second[hook]) for hook in first if hook in second}


def _run(bridge: TransformerBridge, batch: int, pos: int) -> dict[int, _Sighting]:
    sightings: dict[int, _Sighting] = {}
    count = 0

    def note(tensor: object, hook: HookPoint) -> None:
        nonlocal count
        if isinstance(tensor, Tensor) and tensor.is_floating_point():
            checksum = float(tensor.detach().double().nan_to_num(0, 1, -1).sum())
            # The tensor is kept: memory that is freed may be handed out again for another.
            sightings[id(hook)] = _Sighting(tensor, checksum, count)
            count += 1

    tokens = torch.arange(batch * pos, device=bridge.cfg.device) % bridge.cfg.d_vocab
    with torch.no_grad(), _hooked(bridge, note):
        bridge(tokens.reshape(batch, pos))
    return sightings


@contextmanager
def _hooked(bridge: TransformerBridge, note: object) -> Iterator[None]:
    hooks = {id(hook): hook for hook in bridge.hook_dict.values()}
    try:
        for hook in hooks.values():
            hook.add_hook(note, level=_LEVEL)  # pyright: ignore[reportArgumentType]
        yield
    finally:
        for hook in hooks.values():
            hook.remove_hooks(level=_LEVEL)


def _observed(hook: int, first: _Sighting, second: _Sighting) -> Observed:
    shape, flattened, has_tokens = entry_shape(
        tuple(first.tensor.shape), tuple(second.tensor.shape)
    )
    return Observed(
        hook=hook,
        tensor=(first.tensor.data_ptr(), first.tensor.numel(), first.checksum),
        order=first.order,
        shape=shape,
        flattened=flattened,
        has_tokens=has_tokens,
    )


def entry_shape(one: tuple[int, ...], two: tuple[int, ...]) -> tuple[tuple[int, ...], bool, bool]:
    """Shape of one token's entry, whether batch and pos are flattened, whether there is one."""
    if (one[:2], two[:2]) == SHAPES and one[2:] == two[2:]:
        return one[2:], False, True
    flat = tuple(batch * pos for batch, pos in SHAPES)
    if (one[:1], two[:1]) == ((flat[0],), (flat[1],)) and one[1:] == two[1:]:
        return one[1:], True, True
    return one, False, False
