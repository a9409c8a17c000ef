"""Heads whose output is replaced while a model runs: by nothing, a mean, or what it was elsewhere.

What is replaced is `hook_z`, a head's output before W_O: the query heads of grouped-query
attention each have their own. The output bias stays.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.columns import Head
from interp.interventions.heads import on_heads
from interp.interventions.intervention import Intervention, mean, zero
from interp.interventions.noise import resample
from interp.interventions.running import intervened, watched
from interp.results.errors import BadInput, Unsupported

Mode = Literal["mean", "resample", "zero"]
MODES: tuple[Mode, ...] = ("mean", "resample", "zero")
HeadLike = Head | tuple[int, int] | str
Values = Mapping[int, Float[Tensor, "..."]]
"""By layer: one entry of `hook_z`, or rows of them."""
_NAME = re.compile(r"L(\d+)H(\d+)")


@runtime_checkable
class Tokens(Protocol):
    """A batch of any corpus."""

    @property
    def tokens(self) -> np.ndarray: ...  # noqa: D102
    @property
    def attention_mask(self) -> np.ndarray: ...  # noqa: D102


def z_sites(bridge: TransformerBridge) -> tuple[str, ...]:
    """The site of the heads' outputs in every layer; Unsupported for a model that has none."""
    sites = tuple(f"blocks.{layer}.attn.hook_z" for layer in range(bridge.cfg.n_layers))
    points = bridge.hook_dict
    missing = [site for site in sites if site not in points]
    if missing:
        name = type(bridge.original_model).__name__
        raise Unsupported(f"{name} has no {missing[0]}: it has no attention heads to replace there")
    return sites


def named_heads(bridge: TransformerBridge, heads: Iterable[HeadLike]) -> tuple[Head, ...]:
    """The heads, sorted: pairs of layer and head, or names such as `L1H2`.

    BadInput for a head that the model does not have, one that is named twice, or none at all.
    """
    n_layers, n_heads = bridge.cfg.n_layers, bridge.cfg.n_heads
    found = sorted(_head(one) for one in heads)
    unknown = [str(h) for h in found if not (0 <= h.layer < n_layers and 0 <= h.head < n_heads)]
    if unknown:
        raise BadInput(
            f"no head {', '.join(unknown)}: this model has L0H0 to L{n_layers - 1}H{n_heads - 1}"
        )
    twice = sorted({str(head) for head in found if found.count(head) > 1})
    if twice:
        raise BadInput(f"{', '.join(twice)} named twice: give each head once")
    if not found:
        raise BadInput("no head to replace: give at least one, such as L1H2")
    return tuple(found)


def _head(one: HeadLike) -> Head:
    if not isinstance(one, str):
        return Head(*one)
    match = _NAME.fullmatch(one.strip())
    if match is None:
        raise BadInput(f"{one!r} is no head: write L1H2 for head 2 of layer 1, both from 0")
    return Head(*map(int, match.groups()))


def by_layer(heads: Iterable[Head]) -> dict[int, Tensor]:
    """Numbers of the heads in each layer that has one."""
    layers: dict[int, list[int]] = {}
    for layer, head in sorted(heads):
        layers.setdefault(layer, []).append(head)
    return {layer: torch.tensor(numbers) for layer, numbers in layers.items()}


def head_interventions(
    bridge: TransformerBridge,
    heads: Iterable[HeadLike],
    mode: str = "mean",
    *,
    means: Values | None = None,
    rows: Values | None = None,
    seed: int = 0,
    where: Bool[Tensor, "batch pos"] | None = None,
) -> list[Intervention]:
    """One intervention for each layer that has a head of `heads`; the order of heads is nothing.

    `means`, as `head_means` gives them, stand in under `mean`; under `resample` each token gets a
    row of `rows` [rows, head, d_head] drawn anew, the same row in every layer and head. `where`
    are the tokens whose output is replaced; None is all of them.
    """
    sites = z_sites(bridge)
    needed = {"mean": means, "resample": rows}
    if mode not in MODES:
        raise BadInput(f"mode {mode!r}: one of {', '.join(MODES)}")
    if mode != "zero" and needed[mode] is None:
        given = {"mean": "means= of head_means", "resample": "rows= to draw from"}[mode]
        raise BadInput(f"mode {mode!r} needs {given}")
    edits = []
    for layer, own in by_layer(named_heads(bridge, heads)).items():
        edit = zero(sites[layer], where=where)
        if mode == "mean" and means is not None:
            edit = mean(sites[layer], means[layer][own], where=where)
        if mode == "resample" and rows is not None:
            draws = Generator().manual_seed(seed)
            edit = resample(sites[layer], rows[layer][:, own], generator=draws, where=where)
        edits.append(on_heads(edit, own))
    return edits


@contextmanager
def heads_ablated(
    bridge: TransformerBridge,
    heads: Iterable[HeadLike],
    mode: str = "mean",
    *,
    means: Values | None = None,
    rows: Values | None = None,
    seed: int = 0,
) -> Iterator[TransformerBridge]:
    """The bridge with the heads replaced at every token, for any measurement in the block.

    Generation included. Raises Unsupported at the end of a block in which the model did not run.
    """
    edits = head_interventions(bridge, heads, mode, means=means, rows=rows, seed=seed)
    with intervened(bridge, edits):
        yield bridge


@torch.no_grad()
def head_means(
    bridge: TransformerBridge, batches: Iterable[Tokens], *, special_ids: Sequence[int] = ()
) -> dict[int, Float[Tensor, "n_heads d_head"]]:
    """By layer, every head's mean output over text tokens; summed in float64.

    Padding and `special_ids` are left out: their activations are far from those of text.
    """
    sites, points = z_sites(bridge), bridge.hook_dict
    device = next(bridge.original_model.parameters()).device
    sums: dict[int, Tensor] = {}
    n = 0
    for batch in batches:
        keep = batch.attention_mask & ~np.isin(batch.tokens, list(special_ids))
        n += int(keep.sum())
        kept = torch.from_numpy(keep).to(device)
        hooks = [(points[site], _adding(sums, i, kept)) for i, site in enumerate(sites)]
        with watched(hooks):
            bridge(torch.from_numpy(batch.tokens).to(device), return_type=None)
    if n == 0:
        raise BadInput("the mean of heads over no token: the text holds special tokens only")
    return {layer: (total / n).float() for layer, total in sums.items()}


def _adding(sums: dict[int, Tensor], layer: int, keep: Tensor):
    def add(value: Tensor) -> None:
        total = value[keep].double().sum(0)
        sums[layer] = sums[layer] + total if layer in sums else total

    return add
