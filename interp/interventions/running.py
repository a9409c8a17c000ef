"""A bridge that runs with interventions, for as long as a `with` block lasts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor
from transformer_lens.hook_points import HookPoint, LensHandle
from transformer_lens.model_bridge import TransformerBridge

from interp.interventions.intervention import Intervention, handed_on
from interp.models.sites import UnknownSite
from interp.results.errors import BadInput, Unsupported

Seen = Callable[[Tensor], Tensor | None]
"""What a hook does with the value of its site; None leaves it."""


@contextmanager
def intervened(
    bridge: TransformerBridge, interventions: Sequence[Intervention]
) -> Iterator[TransformerBridge]:
    """`bridge`, whose every forward pass in the block goes through `interventions`, in order.

    Hooks of the caller stay, and run before ours. At one site a later intervention gets what the
    earlier handed on. Raises UnknownSite at the door, BadInput for a replacement of another shape
    or a site that is read after it is written, and Unsupported at the end of a block in which a
    site did not fire: what was measured would be the model as it is.
    """
    points = {name: _point(bridge, name) for edit in interventions for name in _names(edit)}
    fired: set[str] = set()
    hooks = [hook for edit in interventions for hook in _hooks_of(edit, fired)]
    with watched([(points[name], seen) for name, seen in hooks]):
        yield bridge
    silent = sorted({edit.site for edit in interventions} - fired)
    if silent:
        raise Unsupported(
            f"{', '.join(silent)} did not fire in the block: run the model inside of it, and name "
            "a site that its forward pass reaches (`interp model sites MODEL`)"
        )


@contextmanager
def watched(hooks: Sequence[tuple[HookPoint, Seen]]) -> Iterator[None]:
    """Hooks that are there only while the block runs; those of the caller stay."""
    added: list[tuple[HookPoint, LensHandle]] = []
    try:
        for point, seen in hooks:
            point.add_hook(_hook_function(seen))
            added.append((point, point.fwd_hooks[-1]))
        yield
    finally:
        for point, handle in added:
            handle.hook.remove()
            point.fwd_hooks.remove(handle)


def _hooks_of(edit: Intervention, fired: set[str]) -> list[tuple[str, Seen]]:
    kept: list[Tensor] = []

    def read(value: Tensor) -> None:
        kept[:] = [value]

    def write(value: Tensor) -> Tensor:
        fired.add(edit.site)
        if edit.reads is not None and not kept:
            raise BadInput(
                f"{edit.site} cannot be computed from {edit.reads}: the model reaches it later"
            )
        # Taken out, so that another forward pass does not read what this one left.
        source = value if edit.reads is None else kept.pop()
        return handed_on(value, edit.replace(source), edit.where, site=edit.site)

    reading = [] if edit.reads is None else [(edit.reads, read)]
    return [*reading, (edit.site, write)]


def _names(edit: Intervention) -> tuple[str, ...]:
    return (edit.site,) if edit.reads is None else (edit.site, edit.reads)


def _point(bridge: TransformerBridge, name: str) -> HookPoint:
    hooks = bridge.hook_dict
    if name not in hooks:
        raise UnknownSite(name, hooks)
    return hooks[name]


def _hook_function(seen: Seen) -> Callable[..., Tensor | None]:
    def hook_function(tensor: Tensor, *, hook: HookPoint) -> Tensor | None:  # noqa: ARG001
        return seen(tensor)

    return hook_function
