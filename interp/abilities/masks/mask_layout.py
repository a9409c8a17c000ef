"""Where a mask lies: by layer and tensor type, and by MLP neuron, each against chance."""

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from interp.abilities.masks.mask import NeuronMask
from interp.results.significance import holm

_IN_A_LAYER = re.compile(
    r"^(?P<stack>encoder\.|decoder\.)?.*?\.?(?P<layer>\d+)\.(?P<kind>.+?)(\.weight)?$"
)
_NEURON = re.compile(r"\.(\d+)\.(?:.+\.)?(?P<matrix>\w+)\.weight$")
_ROWS = {"gate_proj", "up_proj", "dense_h_to_4h", "fc1", "fc_in", "wi", "wi_0", "wi_1"}
_COLUMNS = {"down_proj", "dense_4h_to_h", "fc2", "fc_out", "wo"}
_CONV1D_AXIS = {"mlp.c_fc.weight": 1, "mlp.c_proj.weight": 0}
"""GPT-2 stores its MLP matrices input first."""


@dataclass(frozen=True, kw_only=True)
class MaskLayout:
    """Chosen and ranked entries by layer and tensor type, and in the tensors outside the layers."""

    layers: tuple[int, ...]
    kinds: tuple[str, ...]
    chosen: Int[np.ndarray, "layers kinds"]
    ranked: Int[np.ndarray, "layers kinds"]
    """0 where a layer has no such tensor or it was not ranked."""
    outside: dict[str, tuple[int, int]]
    """Chosen and ranked entries of each tensor outside the layers (embedding, final norm)."""
    expected_share: float
    """Chosen over ranked entries in all: the share of any cell if chosen entries lay at random."""

    @property
    def share(self) -> Float[np.ndarray, "layers kinds"]:
        """Chosen over ranked entries in each cell, NaN where nothing was ranked."""
        ranked = np.where(self.ranked == 0, 1, self.ranked)
        return np.where(self.ranked == 0, np.nan, self.chosen / ranked)


@dataclass(frozen=True, kw_only=True)
class NeuronCounts:
    """Chosen entries of every MLP neuron (its rows and columns together), and what chance gives.

    The null draws as many entries of each tensor at random as the mask holds in it.
    """

    layer: Int[np.ndarray, " neurons"]
    neuron: Int[np.ndarray, " neurons"]
    chosen: Int[np.ndarray, " neurons"]
    size: Int[np.ndarray, " neurons"]
    """Weights of the neuron in the ranked tensors."""
    expected: Float[np.ndarray, " neurons"]
    z: Float[np.ndarray, " neurons"]
    """(chosen - expected) in standard deviations of the null; 0 where the null cannot vary."""
    p_holm: Float[np.ndarray, " neurons"]
    """One-sided (more than chance), normal approximation, Holm over all neurons."""


def mask_layout(mask: NeuronMask) -> MaskLayout:
    """Count the mask by layer and tensor type; tensors that were not ranked do not appear."""
    places = {name: tensor_place(name) for name in mask.tensors}
    layers = sorted({layer for layer, _ in places.values() if layer is not None})
    kinds = list(dict.fromkeys(kind for layer, kind in places.values() if layer is not None))
    chosen, ranked = np.zeros((2, len(layers), len(kinds)), dtype=np.int64)
    outside = {}
    for name, (layer, kind) in places.items():
        support = mask.tensors[name]
        if layer is None:
            outside[kind] = (support.count, support.n_entries)
            continue
        cell = layers.index(layer), kinds.index(kind)
        chosen[cell] += support.count
        ranked[cell] += support.n_entries
    total = sum(support.n_entries for support in mask.tensors.values())
    return MaskLayout(
        layers=tuple(layers),
        kinds=tuple(kinds),
        chosen=chosen,
        ranked=ranked,
        outside=outside,
        expected_share=mask.count / total if total else float("nan"),
    )


def neuron_counts(mask: NeuronMask) -> NeuronCounts:
    """Count the mask by MLP neuron. Empty where no ranked tensor is an MLP matrix we know.

    With K of a tensor's N entries chosen and m of them the neuron's, the null is hypergeometric:
    mean mK/N, variance m K/N (1 - K/N) (N - m)/(N - 1); a neuron's tensors are added.
    """
    by_layer: dict[int, list[np.ndarray]] = {}
    for name in mask.tensors:
        axis, layer = _neuron_axis(name), tensor_place(name)[0]
        if axis is not None and layer is not None and len(mask.tensors[name].shape) == 2:
            by_layer.setdefault(layer, []).append(_moments(mask, name, axis))
    sums = {layer: np.sum(parts, axis=0) for layer, parts in sorted(by_layer.items())}
    table = np.concatenate([*sums.values()], axis=1) if sums else np.zeros((4, 0))
    chosen, size, expected, variance = table
    spread = np.sqrt(np.where(variance > 0, variance, 1.0))
    z = np.where(variance > 0, (chosen - expected) / spread, 0.0)
    return NeuronCounts(
        layer=np.repeat([*sums], [part.shape[1] for part in sums.values()]).astype(np.int64),
        neuron=np.concatenate([np.arange(0), *(np.arange(s.shape[1]) for s in sums.values())]),
        chosen=chosen.astype(np.int64),
        size=size.astype(np.int64),
        expected=expected,
        z=z,
        p_holm=holm(stats.norm.sf(z)),
    )


def tensor_place(name: str) -> tuple[int | None, str]:
    """A tensor's layer (None outside the layers) and its type, from its Hugging Face name."""
    found = _IN_A_LAYER.match(name)
    if found is None:
        return None, name.removesuffix(".weight")
    return int(found["layer"]), (found["stack"] or "") + found["kind"]


def _moments(mask: NeuronMask, name: str, axis: int) -> Float[np.ndarray, "4 neurons"]:
    """Chosen entries, size, mean and variance under the null, for each neuron of one tensor."""
    support = mask.tensors[name]
    n, each = support.n_entries, support.shape[1 - axis]
    share = support.count / n
    variance = each * share * (1 - share) * (n - each) / max(n - 1, 1)
    chosen = mask.dense(name).sum(axis=1 - axis)
    rows = (chosen, *(np.full(chosen.shape, x) for x in (each, each * share, variance)))
    return np.stack(rows).astype(np.float64)


def _neuron_axis(name: str) -> int | None:
    for suffix, axis in _CONV1D_AXIS.items():
        if name.endswith("." + suffix):
            return axis
    found = _NEURON.search(name)
    if found is None or ".experts." in name:
        return None
    return 0 if found["matrix"] in _ROWS else 1 if found["matrix"] in _COLUMNS else None
