"""Where units lie: a partition of every layout, proved by what a forward pass does without one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from interp.abilities.streaming.topk import scores_of_arrays
from interp.abilities.units.layouts import families, family_named
from interp.abilities.units.segments import Family, Place, Segment
from interp.abilities.units.unit_scores import unit_scores
from interp.abilities.units.unit_selection import choose_units
from interp.abilities.units.units import (
    GROUPS,
    Layout,
    Slab,
    Unit,
    laid_out,
    layout_from,
    layout_of,
)
from interp.models.architectures import read_config
from interp.results.errors import BadInput, Mismatch, Unsupported
from tests.models import DECODERS, LAYOUTS_ONLY, tiny_model_directory

STYLES = (*DECODERS, *LAYOUTS_ONLY)
VARIANTS = {
    **{style: (style, {}) for style in STYLES},
    "llama with biases": ("llama", {"mlp_bias": True, "attention_bias": True}),
    "llama with wide heads": ("llama", {"head_dim": 16}),
    "llama, one key head": ("llama", {"num_key_value_heads": 1}),
    "tied qwen2": ("qwen2", {"tie_word_embeddings": True}),
}
OUT = ("down_proj", "mlp.c_proj", "dense_4h_to_h"), ("o_proj", "attn.c_proj", "attention.dense")
"""What reads the activations of neurons, and what reads the heads' z."""

every_variant = pytest.mark.parametrize("variant", VARIANTS)


@pytest.fixture(scope="module")
def directory_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def directory(variant: str) -> Path:
        if variant not in made:
            style, config = VARIANTS[variant]
            place = tmp_path_factory.mktemp("models") / "m"
            made[variant] = tiny_model_directory(style, place, tokenizer=False, **config)
        return made[variant]

    return directory


def entries_by_hand(layout: Layout, unit: Unit) -> dict[str, np.ndarray]:
    """True at the unit's entries of every tensor it has some in."""
    dense = {}
    for name, slabs in layout.entries(unit).items():
        dense[name] = np.zeros(layout.shapes[name], dtype=bool)
        for slab in slabs:
            dense[name][slab.index] = True
    return dense


@every_variant
def test_every_entry_belongs_to_exactly_one_unit_or_group(
    variant: str, directory_of: Callable[[str], Path]
) -> None:
    layout = layout_of(directory_of(variant))
    owners = {name: np.zeros(shape, dtype=int) for name, shape in layout.shapes.items()}
    sizes = 0
    for kind in ("neuron", "q_head", "kv_head", *GROUPS):
        for unit in layout.units(kind):
            sizes += layout.size(unit)
            for name, mine in entries_by_hand(layout, unit).items():
                owners[name] += mine
    assert all((count == 1).all() for count in owners.values())
    assert sizes == sum(count.size for count in owners.values())


@every_variant
def test_layers_and_tensors_are_whole(variant: str, directory_of: Callable[[str], Path]) -> None:
    layout = layout_of(directory_of(variant))
    assert {Unit("tensor", layout.layers[n], i) for i, n in enumerate(layout.shapes)} == set(
        layout.units("tensor")
    )
    within = [name for name, layer in layout.layers.items() if layer is not None]
    in_layers = sum(layout.size(unit) for unit in layout.units("layer"))
    assert in_layers == sum(layout.n_entries(name) for name in within)
    assert len(layout.units("layer")) == layout.sizes.n_layers == 3


@every_variant
def test_a_layout_read_from_json_is_the_same(
    variant: str, directory_of: Callable[[str], Path]
) -> None:
    layout = layout_of(directory_of(variant))
    assert Layout.from_json(layout.to_json()) == layout


def logits_of(directory: Path) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float64)
    with torch.no_grad():
        return model(torch.arange(4, 20)[None]).logits


def logits_without(
    directory: Path, modules: tuple[str, ...], unit: Unit, width: int
) -> torch.Tensor:
    """Logits with part of one module's input set to zero in the forward pass."""
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float64)

    def silence(_module: object, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        kept = inputs[0].clone()
        kept[..., unit.index * width : (unit.index + 1) * width] = 0
        return (kept, *inputs[1:])

    found = [
        module
        for name, module in model.named_modules()
        if name.endswith(modules) and f".{unit.layer}." in name
    ]
    assert len(found) == 1
    found[0].register_forward_pre_hook(silence)
    with torch.no_grad():
        return model(torch.arange(4, 20)[None]).logits


def zeroed(directory: Path, out: Path, slabs: dict[str, tuple[Slab, ...]]) -> Path:
    """A copy of a model with rows and columns of its tensors set to zero."""
    out.mkdir()
    (out / "config.json").write_text((directory / "config.json").read_text())
    tensors = load_file(directory / "model.safetensors")
    for name, cut in slabs.items():
        for slab in cut:
            tensors[name][slab.index] = 0
    save_file(tensors, out / "model.safetensors", {"format": "pt"})
    return out


@every_variant
def test_zeroing_a_unit_is_silencing_it_in_the_forward_pass(
    variant: str, directory_of: Callable[[str], Path], tmp_path: Path
) -> None:
    directory = directory_of(variant)
    layout = layout_of(directory)
    sizes, before = layout.sizes, logits_of(directory)
    shared = sizes.heads_per_group * sizes.d_head
    for unit, modules, width in (
        (Unit("neuron", 1, 7), OUT[0], 1),
        (Unit("q_head", 1, 2), OUT[1], sizes.d_head),
        (Unit("kv_head", 1, sizes.n_kv_heads - 1), OUT[1], shared),
    ):
        slabs = layout.entries(unit)
        if variant == "olmo2":  # its norm of queries and keys runs over all heads together
            slabs = {n: s for n, s in slabs.items() if "q_proj" not in n and "k_proj" not in n}
        without = logits_of(zeroed(directory, tmp_path / unit.kind, slabs))
        silenced = logits_without(directory, modules, unit, width)
        torch.testing.assert_close(without, silenced, atol=1e-6, rtol=0)
        assert float((without - before).abs().max()) > 1e-4, unit


def test_in_olmo2_the_queries_of_a_head_are_in_the_norm_of_the_others(
    directory_of: Callable[[str], Path], tmp_path: Path
) -> None:
    directory = directory_of("olmo2")
    layout = layout_of(directory)
    unit = Unit("q_head", 1, 2)
    without = logits_of(zeroed(directory, tmp_path / "cut", layout.entries(unit)))
    silenced = logits_without(directory, OUT[1], unit, layout.sizes.d_head)
    assert float((without - silenced).abs().max()) > 1e-4


def test_neox_heads_are_not_blocks_of_the_fused_matrix(
    directory_of: Callable[[str], Path], tmp_path: Path
) -> None:
    directory = directory_of("neox")
    layout = layout_of(directory)
    width, heads = layout.sizes.d_head, layout.sizes.n_heads
    rows = slice(2 * heads * width + width, 2 * heads * width + 2 * width)
    name = "gpt_neox.layers.1.attention.query_key_value"
    naive = {f"{name}.{part}": (Slab(0, rows.start, rows.stop),) for part in ("weight", "bias")}
    silenced = logits_without(directory, OUT[1], Unit("kv_head", 1, 1), width)
    without = logits_of(zeroed(directory, tmp_path / "cut", naive))
    assert float((without - silenced).abs().max()) > 1e-4
    scores = random_scores(layout)
    fused = scores[f"{name}.weight"].mean(1, dtype=np.float64)
    blocks = fused.reshape(3, heads, width).mean(axis=(0, 2))
    ours = unit_scores(layout, "head", scores, scores_of_arrays(scores), how="mean")[1]
    assert np.argsort(blocks).tolist() != np.argsort(ours).tolist()


def random_scores(layout: Layout, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {n: rng.random(s).astype(np.float32) ** 3 for n, s in layout.shapes.items()}


@pytest.mark.parametrize("kind", ["neuron", "q_head", "kv_head", "head", "layer", "tensor"])
@pytest.mark.parametrize("how", ["mean", "l2", "max"])
def test_a_units_score_is_that_of_its_entries_one_by_one(
    kind: str, how: str, directory_of: Callable[[str], Path]
) -> None:
    summary = {
        "mean": np.mean,
        "l2": lambda values: np.sqrt(np.mean(values**2)),
        "max": np.max,
    }[how]
    for variant in ("gpt2", "neox", "qwen2", "phi3"):
        layout = layout_of(directory_of(variant))
        scores = random_scores(layout)
        found = unit_scores(layout, kind, scores, scores_of_arrays(scores), how=how)  # type: ignore
        for unit in layout.units(kind):
            parts = entries_by_hand(layout, unit)
            entries = np.concatenate([scores[n][mine] for n, mine in parts.items()])
            row = 0 if kind == "tensor" else unit.layer
            expected = summary(entries.astype(np.float64))
            assert found[row, unit.index] == pytest.approx(expected, rel=1e-6), unit


@pytest.mark.parametrize("kind", ["neuron", "head", "layer"])
def test_the_size_of_the_pieces_does_not_change_a_bit(
    kind: str, directory_of: Callable[[str], Path]
) -> None:
    layout = layout_of(directory_of("gpt2"))
    scores = random_scores(layout)
    names = layout.tensors_of(kind)
    whole = unit_scores(layout, kind, names, scores_of_arrays(scores), how="mean")
    for chunk in (1, 7, 1000):
        pieces = scores_of_arrays(scores, chunk=chunk)
        again = unit_scores(layout, kind, reversed(names), pieces, how="mean")
        assert np.array_equal(whole, again)


def transposed(family: Family) -> Family:
    """The same family with every matrix stored the other way round."""

    def turned(place: Place | str) -> Place | str:
        if isinstance(place, str) or len(place.shape) < 2:
            return place
        segments = tuple(
            Segment(**{**vars(segment), "axis": 1 - segment.axis}) for segment in place.segments
        )
        return Place(shape=place.shape[::-1], segments=segments)

    def places(sizes: object) -> dict[str, object]:
        return {name: turned(place) for name, place in family.places(sizes).items()}  # type: ignore

    return Family(**{**vars(family), "places": places})


@pytest.mark.parametrize("kind", ["neuron", "q_head", "kv_head", "head", "layer"])
def test_gpt2_and_its_twin_of_linear_layers_have_the_same_mask(
    kind: str, directory_of: Callable[[str], Path]
) -> None:
    layout = layout_of(directory_of("gpt2"))
    matrices = [name for name in layout.segments if len(layout.shapes[name]) == 2]
    shapes = {n: s[::-1] if n in matrices else s for n, s in layout.shapes.items()}
    twin = laid_out(transposed(family_named("gpt2")), layout.sizes, shapes, where="twin")
    scores = random_scores(layout)
    names = layout.tensors_of(kind)
    other = {n: np.ascontiguousarray(s.T) if n in matrices else s for n, s in scores.items()}
    ours = unit_scores(layout, kind, names, scores_of_arrays(scores), how="mean")
    theirs = unit_scores(twin, kind, names, scores_of_arrays(other), how="mean")
    if kind == "layer":  # one sum over whole matrices, whose order the storage decides
        assert ours == pytest.approx(theirs, rel=1e-6)
    else:
        assert np.array_equal(ours, theirs)
    chosen = choose_units(ours, share=0.3, scope="global")
    assert np.array_equal(chosen, choose_units(theirs, share=0.3, scope="global"))


def test_a_score_that_is_no_number_or_missing_is_refused(
    directory_of: Callable[[str], Path],
) -> None:
    layout = layout_of(directory_of("llama"))
    scores = random_scores(layout)
    name = "model.layers.2.mlp.up_proj.weight"
    short = {**scores, name: scores[name][1:]}
    with pytest.raises(BadInput, match="every entry needs one"):
        unit_scores(layout, "neuron", scores, scores_of_arrays(short), how="mean")
    scores[name][3, 5] = np.nan
    with pytest.raises(BadInput, match=f"tensor '{name}' is NaN"):
        unit_scores(layout, "neuron", scores, scores_of_arrays(scores), how="mean")


def test_what_has_no_layout_is_refused_by_name(
    tmp_path: Path, directory_of: Callable[[str], Path]
) -> None:
    with pytest.raises(Unsupported, match=r"MixtralForCausalLM are not known.*LlamaForCausalLM"):
        layout_of(tiny_model_directory("mixtral", tmp_path / "m", tokenizer=False))
    directory = directory_of("llama")
    config, shapes = read_config(directory), dict(layout_of(directory).shapes)
    with pytest.raises(Unsupported, match=r"'model.layers.0.mlp.extra.weight' .* no place"):
        layout_from(config, {**shapes, "model.layers.0.mlp.extra.weight": (3,)}, where="m")
    with pytest.raises(Mismatch, match=r"q_proj.weight' .* \(64, 32\): its config asks for"):
        name = "model.layers.0.self_attn.q_proj.weight"
        layout_from(config, {**shapes, name: (64, 32)}, where="m")
    with pytest.raises(Mismatch, match="3 layers, not of 5"):
        layout_from({**config, "num_hidden_layers": 5}, shapes, where="m")
    with pytest.raises(Mismatch, match="no field 'hidden_size'"):
        layout_from({k: v for k, v in config.items() if k != "hidden_size"}, shapes, where="m")
    with pytest.raises(BadInput, match="no units 'expert'"):
        layout_of(directory).units("expert")


def test_a_bare_trunk_is_known_by_its_model_type(
    tmp_path: Path, directory_of: Callable[[str], Path]
) -> None:
    directory = directory_of("gpt2")
    config = read_config(directory) | {"architectures": ["GPT2Model"]}
    whole = layout_of(directory)
    shapes = {n.removeprefix("transformer."): s for n, s in whole.shapes.items()}
    shapes["h.0.attn.bias"] = (1, 1, 64, 64)
    trunk = layout_from(config, shapes, where="m")
    assert trunk.groups["h.0.attn.bias"] == "buffer"
    assert "h.0.attn.bias" not in trunk.tensors_of("layer")
    assert trunk.size(Unit("neuron", 0, 0)) == whole.size(Unit("neuron", 0, 0)) == 2 * 32 + 1


def test_every_family_in_the_folder_is_tested_here() -> None:
    assert {family.name for family in families()} == {"gpt2", "llama", "neox", "phi3"}
    classes = {a for family in families() for a in family.architectures}
    assert len(classes) == len(STYLES)
