"""MlpTensors: which tensors of a Hugging Face directory hold the MLP neurons of one site."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from interp.models.sites import split_name
from interp.results.errors import Unsupported


@dataclass(frozen=True, kw_only=True)
class MlpTensors:
    """Names of the tensors that have a row or a column for every neuron of one MLP."""

    W_in: str
    W_out: str
    W_gate: str | None
    b_in: str | None
    b_gate: str | None
    in_first: bool
    """Whether matrices are stored (in, out), as GPT-2 stores them, and not (out, in)."""

    @property
    def axes(self) -> dict[str, int]:
        """The axis that neurons lie on, by name of the tensor."""
        into, out = (1, 0) if self.in_first else (0, 1)
        found = {self.W_in: into, self.W_gate: into, self.W_out: out, self.b_in: 0, self.b_gate: 0}
        return {name: axis for name, axis in found.items() if name is not None}


def _roles(stem: str, W_in: str, W_out: str, W_gate: str | None = None) -> dict[str, str | None]:
    return {
        "W_in": f"{stem}{W_in}.weight",
        "W_out": f"{stem}{W_out}.weight",
        "W_gate": W_gate and f"{stem}{W_gate}.weight",
        "b_in": f"{stem}{W_in}.bias",
        "b_gate": W_gate and f"{stem}{W_gate}.bias",
    }


def _layouts(stack: str, layer: int) -> list[tuple[dict[str, str | None], bool]]:
    """Endings of the names by role, and whether matrices are stored (in, out)."""
    if stack == "blocks":
        return [
            (_roles(f"layers.{layer}.mlp.", "up_proj", "down_proj", "gate_proj"), False),
            (_roles(f"h.{layer}.mlp.", "c_fc", "c_proj"), True),
            (_roles(f"layers.{layer}.mlp.", "dense_h_to_4h", "dense_4h_to_h"), False),
            (_roles(f"encoder.layer.{layer}.", "intermediate.dense", "output.dense"), False),
        ]
    side, sublayer = ("encoder", 1) if stack == "encoder_blocks" else ("decoder", 2)
    stems = [f"{side}.block.{layer}.layer.{sublayer}.{name}." for name in ("DenseReluDense", "mlp")]
    return [
        pair
        for stem in stems
        for pair in ((_roles(stem, "wi_1", "wo", "wi_0"), False), (_roles(stem, "wi", "wo"), False))
    ]


def mlp_tensors(names: Iterable[str], site: str) -> MlpTensors:
    """The tensors of the MLP whose neurons `site` holds, as blocks.3.mlp.hook_post.

    Raises Unsupported for a site that holds no MLP's neurons, and where the directory has no such
    tensors: a mixture of experts has its own.
    """
    stack, layer, leaf = split_name(site)
    if stack is None or layer is None or leaf not in ("mlp.hook_post", "mlp.out.hook_in"):
        raise Unsupported(
            f"{site} does not hold the neurons of an MLP: give a site as blocks.3.mlp.hook_post"
        )
    known = list(names)
    for roles, in_first in _layouts(stack, layer):
        found = {role: _ending(known, end) for role, end in roles.items()}
        if found["W_in"] and found["W_out"] and (found["W_gate"] or not roles["W_gate"]):
            return _tensors(found, in_first)
    raise Unsupported(
        f"no tensors of a dense MLP stand behind {site}: the layer is a mixture of experts, of an "
        "architecture whose names we do not know, or not there"
    )


def _tensors(found: Mapping[str, str | None], in_first: bool) -> MlpTensors:
    W_in, W_out = found["W_in"], found["W_out"]
    assert W_in is not None
    assert W_out is not None
    return MlpTensors(
        W_in=W_in,
        W_out=W_out,
        W_gate=found["W_gate"],
        b_in=found["b_in"],
        b_gate=found["b_gate"],
        in_first=in_first,
    )


def _ending(names: list[str], end: str | None) -> str | None:
    if end is None:
        return None
    return next((name for name in names if name == end or name.endswith(f".{end}")), None)
