"""Activations of some sites for one batch, by a forward pass that stops when it has them all."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.hook_points import HookPoint, LensHandle
from transformer_lens.model_bridge import TransformerBridge

from interp.results.errors import BadInput, Unsupported


class _AllRead(Exception):
    """Every site asked for has been read: nothing after it needs to be computed."""


class SiteReader:
    """Reads sites of one model, batch after batch.

    The forward pass ends at the last site that fires, so no later layer and no logits are computed
    unless a site after them was asked for. Hooks are there only while `read` runs.
    """

    def __init__(self, model: TransformerBridge, sites: Sequence[str]) -> None:
        points = model.hook_dict
        self.sites = tuple(sites)
        self._model = model
        self._points = {site: points[site] for site in self.sites}
        self._device = next(model.original_model.parameters()).device
        self._arguments = _without_cache(model)
        self._keepers = [module for module in model.modules() if hasattr(module, "_pattern")]

    def read(
        self,
        tokens: Int[np.ndarray, "batch pos"],
        attention_mask: Bool[np.ndarray, "batch pos"],
        keep: Bool[np.ndarray, "batch pos"],
    ) -> dict[str, Float[np.ndarray, "rows ..."]]:
        """By site, float32 rows of the positions in `keep`, in reading order; arrays of our own."""
        rows: dict[str, np.ndarray] = {}
        arguments = dict(self._arguments)
        if not attention_mask.all():
            mask = torch.from_numpy(attention_mask.astype(np.int64))
            arguments["attention_mask"] = mask.to(self._device)
        kept = torch.from_numpy(keep).to(self._device)
        with self._hooks(partial(self._take, rows, kept)):
            self._forward(torch.from_numpy(tokens).to(self._device), arguments)
        silent = [site for site in self.sites if site not in rows]
        if silent:
            raise Unsupported(f"{', '.join(silent)} did not fire in the forward pass of this model")
        return {site: rows[site] for site in self.sites}

    def _forward(self, tokens: Int[Tensor, "batch pos"], arguments: dict[str, Any]) -> None:
        with torch.no_grad(), _evaluating(self._model):
            try:
                self._model(tokens, return_type=None, **arguments)
            except _AllRead:
                return

    def _take(
        self, rows: dict[str, np.ndarray], keep: Bool[Tensor, "batch pos"], site: str, value: object
    ) -> None:
        if site in rows:
            raise Unsupported(f"{site} fires twice in one forward pass: it has no one row a token")
        per_token = with_token_axis(_tensor(value, site), keep.shape, site)
        rows[site] = _own_rows(per_token, keep)
        if len(rows) == len(self.sites):
            raise _AllRead

    @contextmanager
    def _hooks(self, take: Callable[[str, object], None]) -> Iterator[None]:
        added: list[tuple[HookPoint, LensHandle]] = []
        forgetful = [keeper.register_forward_hook(_forget_pattern) for keeper in self._keepers]
        try:
            for site, point in self._points.items():
                added.append((point, _add_hook(point, partial(take, site))))
            yield
        finally:
            for point, handle in added:
                handle.hook.remove()
                point.fwd_hooks.remove(handle)
            for handle in forgetful:
                handle.remove()


def refuse_hooked(model: TransformerBridge) -> None:
    """Raise BadInput if hooks of the caller would alter or watch what is recorded."""
    hooked = sorted(name for name, point in model.hook_dict.items() if point.has_hooks())
    if hooked:
        raise BadInput(
            f"the model carries hooks ({', '.join(hooked[:3])}), which its hash does not show: "
            "remove them with model.reset_hooks() before recording"
        )


def with_token_axis(
    value: Tensor, shape: tuple[int, ...], site: str
) -> Float[Tensor, "batch pos ..."]:
    """`value` with one entry a token; unflattens (batch * pos, ...), refuses anything else."""
    batch, pos = shape
    if value.ndim >= 2 and tuple(value.shape[:2]) == (batch, pos):
        return value
    if value.ndim >= 1 and value.shape[0] == batch * pos:
        return value.unflatten(0, (batch, pos))
    raise Unsupported(
        f"{site} has shape {tuple(value.shape)} for {batch} sequences of {pos} tokens: "
        "it holds no entry for each token, so it cannot be a row of a store"
    )


def _own_rows(
    value: Float[Tensor, "batch pos ..."], keep: Bool[Tensor, "batch pos"]
) -> Float[np.ndarray, "rows ..."]:
    """A copy, because the model may go on to edit the tensor in place."""
    if bool(keep.all()):
        flat = value.flatten(0, 1)
        rows = torch.empty(flat.shape, dtype=torch.float32).copy_(flat)
    else:
        rows = value[keep].to(device="cpu", dtype=torch.float32)
    return rows.numpy()


def _tensor(value: object, site: str) -> Tensor:
    first = value[0] if isinstance(value, tuple) and value else value
    if not isinstance(first, Tensor):
        raise Unsupported(f"{site} holds a {type(first).__name__}, not a tensor")
    return first


def _add_hook(point: HookPoint, take: Callable[[object], None]) -> LensHandle:
    def hook_function(tensor: Tensor, *, hook: HookPoint) -> None:  # noqa: ARG001
        take(tensor)

    point.add_hook(hook_function)
    return point.fwd_hooks[-1]


def _forget_pattern(module: torch.nn.Module, *_: object) -> None:
    # The bridge keeps every layer's attention pattern after it was used, and never reads it: a
    # forward pass would hold batch * heads * pos * pos numbers a layer.
    module._pattern = None  # pyright: ignore[reportArgumentType]


@contextmanager
def _evaluating(model: TransformerBridge) -> Iterator[None]:
    """Without dropout, whatever mode the caller left the model in."""
    modes = model.training, model.original_model.training
    model.eval()
    model.original_model.eval()
    try:
        yield
    finally:
        model.train(modes[0])
        model.original_model.train(modes[1])


def _without_cache(model: TransformerBridge) -> dict[str, Any]:
    # The cache of keys and values would double what a forward pass holds, for no reader.
    parameters = inspect.signature(model.original_model.forward).parameters
    accepts = "use_cache" in parameters
    return {"use_cache": False} if accepts else {}
