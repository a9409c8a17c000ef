"""Reading: one forward pass a batch for any number of observers, layer by layer, inside the hooks.

A pass computes no logits and ends where the last site asked for has fired. What an observer keeps
of a layer it must reduce at once: no query x key array outlives its hook.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformer_lens.hook_points import HookPoint, LensHandle
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention.batch import HeadBatch
from interp.heads.attention.geometry import HeadGeometry
from interp.results.errors import BadInput, Unsupported

NEEDS = ("pattern", "v", "attn_in", "z", "final_scale", "output_scale")
"""What an observer can ask for; `final_scale` comes after the last layer."""
_OF_A_LAYER = ("attn_in", "v", "pattern", "z", "output_scale")


@dataclass(frozen=True, kw_only=True)
class LayerView:
    """One layer of one batch, as the model computes it: read it, do not edit it."""

    layer: int
    batch: HeadBatch
    geometry: HeadGeometry
    mask: Bool[Tensor, "batch pos"]
    """`batch.attention_mask` on the model's device."""
    parts: dict[str, Tensor] = field(repr=False)

    @property
    def pattern(self) -> Float[Tensor, "batch n_heads query key"]:
        """Attention after the softmax."""
        return self.parts["pattern"]

    @property
    def v(self) -> Float[Tensor, "batch pos n_heads d_head"]:
        """Values, once for every query head."""
        return self.geometry.expanded(self.parts["v"])

    @property
    def attn_in(self) -> Float[Tensor, "batch pos d_model"]:
        """What the projections read."""
        return self.parts["attn_in"]

    @property
    def z(self) -> Float[Tensor, "batch pos n_heads d_head"]:
        """Values mixed by attention."""
        return self.parts["z"]

    @property
    def output_scale(self) -> Float[Tensor, "batch pos 1"] | None:
        """Of a norm between attention and the residual; None where there is none."""
        return self.parts.get("output_scale")


@runtime_checkable
class Observer(Protocol):
    """What reads layers as they are computed."""

    @property
    def needs(self) -> Set[str]:
        """Of `NEEDS`; only what some observer needs is hooked."""
        ...

    def see(self, view: LayerView) -> None:
        """Take in one layer of the current batch; layers come in order."""
        ...

    def end_batch(
        self, batch: HeadBatch, *, final_scale: Float[Tensor, "batch pos 1"] | None
    ) -> None:
        """After the last layer of a batch; `final_scale` is None unless needed."""
        ...


class _AllRead(Exception):
    """Every site asked for has been read: nothing after it needs to be computed."""


def read_layers(
    bridge: TransformerBridge,
    batches: Iterable[HeadBatch],
    observers: Sequence[Observer],
    *,
    geometry: HeadGeometry | None = None,
) -> int:
    """Show every layer of every batch to every observer; the number of sequences read.

    Raises BadInput for sequences longer than the context or a model with hooks of the caller's,
    Unsupported where a site stays silent.
    """
    reader = LayerReader(bridge, observers, geometry=geometry)
    n_read = 0
    for batch in batches:
        reader.read(batch)
        n_read += batch.size
    return n_read


class LayerReader:
    """Reads batches for a fixed set of observers."""

    def __init__(
        self,
        bridge: TransformerBridge,
        observers: Sequence[Observer],
        *,
        geometry: HeadGeometry | None = None,
    ) -> None:
        self.geometry = geometry or HeadGeometry.of(bridge)
        self._bridge = bridge
        self._observers = tuple(observers)
        needs = {need for observer in observers for need in observer.needs}
        unknown = sorted(needs - set(NEEDS))
        if unknown:
            raise BadInput(f"observers need {', '.join(unknown)}: there are {', '.join(NEEDS)}")
        self._needs = needs
        self._sites = self._wanted_sites()
        self._device = self.geometry.device
        parameters = inspect.signature(bridge.original_model.forward).parameters
        # Keys and values of earlier tokens are not asked for again: no cache.
        self._arguments: dict[str, Any] = {"use_cache": False} if "use_cache" in parameters else {}
        self._keepers = [module for module in bridge.modules() if hasattr(module, "_pattern")]

    def _wanted_sites(self) -> dict[str, tuple[int | None, str]]:
        """Site -> (layer, what it is), in the order of a forward pass."""
        g = self.geometry
        places: dict[str, Callable[[int], str | None]] = {
            "attn_in": g.attn_in_site,
            "v": g.v_site,
            "pattern": g.pattern_site,
            "z": g.z_site,
            "output_scale": g.output_scale_site,
        }
        sites: dict[str, tuple[int | None, str]] = {}
        for layer in range(g.n_layers):
            for need in _OF_A_LAYER:
                site = places[need](layer) if need in self._needs else None
                if site is not None:
                    sites[site] = (layer, need)
        if "final_scale" in self._needs:
            sites[g.final_scale_site] = (None, "final_scale")
        return sites

    def read(self, batch: HeadBatch) -> None:
        """One forward pass, every layer shown to every observer."""
        self._check(batch)
        mask = torch.from_numpy(batch.attention_mask).to(self._device)
        tokens = torch.from_numpy(batch.tokens.astype(np.int64)).to(self._device)
        arguments = dict(self._arguments)
        if not batch.attention_mask.all():
            arguments["attention_mask"] = mask.long()
        state = _Pass(batch, mask, self.geometry, self._observers, self._sites)
        with (
            self._hooks(state.take),
            torch.no_grad(),
            _evaluating(self._bridge),
            suppress(_AllRead),
        ):
            self._bridge(tokens, return_type=None, **arguments)
        state.check_all_fired()
        for observer in self._observers:
            observer.end_batch(batch, final_scale=state.final_scale)

    def _check(self, batch: HeadBatch) -> None:
        context = getattr(self._bridge.original_model.config, "max_position_embeddings", None)
        length = batch.tokens.shape[1]
        if context is not None and length > context:
            raise BadInput(
                f"a sequence of {length} tokens does not fit the context of {context} of "
                f"{self.geometry.name}: give a length of at most {context}"
            )
        hooked = sorted(name for name, p in self._bridge.hook_dict.items() if p.has_hooks())
        if hooked:
            raise BadInput(
                f"the model carries hooks ({', '.join(hooked[:3])}): remove them with "
                "model.reset_hooks() before its heads are read"
            )

    @contextmanager
    def _hooks(self, take: Callable[[str, object], None]) -> Iterator[None]:
        points = self._bridge.hook_dict
        added: list[tuple[HookPoint, LensHandle]] = []
        forgetful = [keeper.register_forward_hook(_forget_pattern) for keeper in self._keepers]
        try:
            for site in self._sites:
                added.append((points[site], _add_hook(points[site], partial(take, site))))
            yield
        finally:
            for point, handle in added:
                handle.hook.remove()
                point.fwd_hooks.remove(handle)
            for handle in forgetful:
                handle.remove()


class _Pass:
    """The sites of one forward pass, gathered layer by layer and handed on when whole."""

    def __init__(
        self,
        batch: HeadBatch,
        mask: Bool[Tensor, "batch pos"],
        geometry: HeadGeometry,
        observers: tuple[Observer, ...],
        sites: dict[str, tuple[int | None, str]],
    ) -> None:
        self.final_scale: Tensor | None = None
        self._batch, self._mask, self._geometry = batch, mask, geometry
        self._observers, self._sites = observers, sites
        self._pending = set(sites)
        self._parts: dict[int, dict[str, Tensor]] = {}

    def take(self, site: str, value: object) -> None:
        layer, need = self._sites[site]
        tensor = value[0] if isinstance(value, tuple) and value else value
        if not isinstance(tensor, Tensor):
            raise Unsupported(f"{site} holds a {type(tensor).__name__}, not a tensor")
        self._pending.discard(site)
        if layer is None:
            self.final_scale = tensor.detach()
        else:
            self._parts.setdefault(layer, {})[need] = tensor.detach()
            self._show_when_whole(layer)
        if not self._pending:
            raise _AllRead

    def _show_when_whole(self, layer: int) -> None:
        if any(self._sites[site][0] == layer for site in self._pending):
            return
        view = LayerView(
            layer=layer,
            batch=self._batch,
            geometry=self._geometry,
            mask=self._mask,
            parts=self._parts.pop(layer),
        )
        for observer in self._observers:
            observer.see(view)

    def check_all_fired(self) -> None:
        if self._pending:
            raise Unsupported(
                f"{', '.join(sorted(self._pending)[:3])} did not fire in the forward pass of "
                f"{self._geometry.name}: its heads cannot be read"
            )


def _add_hook(point: HookPoint, take: Callable[[object], None]) -> LensHandle:
    def hook_function(tensor: Tensor, *, hook: HookPoint) -> None:  # noqa: ARG001
        take(tensor)

    point.add_hook(hook_function)
    return point.fwd_hooks[-1]


def _forget_pattern(module: torch.nn.Module, *_: object) -> None:
    # The bridge keeps every layer's attention pattern after it was used, and never reads it.
    module._pattern = None  # pyright: ignore[reportArgumentType]


@contextmanager
def _evaluating(bridge: TransformerBridge) -> Iterator[None]:
    """Without dropout, whatever mode the caller left the model in."""
    if not any(module.training for module in bridge.modules()):
        # Setting the mode of every module takes as long as a small batch.
        yield
        return
    modes = bridge.training, bridge.original_model.training
    bridge.eval()
    bridge.original_model.eval()
    try:
        yield
    finally:
        bridge.train(modes[0])
        bridge.original_model.train(modes[1])
