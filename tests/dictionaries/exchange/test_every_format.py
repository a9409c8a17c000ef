"""What other tools wrote computes here what it computed there, and comes back from every format.

`data/` holds what the tools themselves wrote and what they computed from it; `data/golden.py` says
how it was made.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from sae_lens import SAE
from safetensors.torch import load_file
from torch import Tensor

from interp.dictionaries.card import DictionaryCard
from interp.dictionaries.exchange.exporting import export_dictionaries, export_named
from interp.dictionaries.exchange.formats import formats
from interp.dictionaries.exchange.importing import import_dictionary
from interp.dictionaries.files import open_dictionary
from interp.results.errors import Unsupported
from interp.results.hashing import sha256_file
from tests.dictionaries.making import D_IN, made, rows

DATA = Path(__file__).parent / "data"
GOLDEN = sorted(str(file.parent.relative_to(DATA)) for file in DATA.rglob("expected.safetensors"))
# The tools multiply in another order; thresholds and selections agree on these rows.
CLOSE: dict[str, Any] = {"atol": 1e-5, "rtol": 1e-5}


class Case(NamedTuple):
    """An architecture that a format can say, and what its config needs for that."""

    format: str
    architecture: str
    more: dict[str, Any]


ROUND = [
    Case("dictionary_learning", "standard", {}),
    Case("dictionary_learning", "standard", {"apply_b_dec_to_input": False}),
    Case("dictionary_learning", "gated", {}),
    Case("dictionary_learning", "topk", {}),
    Case("dictionary_learning", "topk", {"rescale_acts_by_decoder_norm": True}),
    Case("dictionary_learning", "jumprelu", {}),
    Case("dictionary_learning", "jumprelu", {"apply_b_dec_to_input": False}),
    *(
        Case("sparsify", f"{kind}{form}", {})
        for kind in ("topk", "groupmax")
        for form in ("", "_transcoder", "_skip_transcoder")
    ),
    Case("sparsify", "topk", {"rescale_acts_by_decoder_norm": True}),
    *(
        Case("circuit_tracer", f"{kind}{form}", {})
        for kind in ("", "jumprelu_", "topk_")
        for form in ("transcoder", "skip_transcoder")
    ),
    Case("sae_lens", "matching_pursuit", {}),
    Case("sae_lens", "temporal", {}),
]


@pytest.mark.parametrize("golden", GOLDEN)
def test_it_computes_here_what_the_tool_computed(golden: str, tmp_path: Path) -> None:
    expected = load_file(DATA / golden / "expected.safetensors")
    written = import_dictionary(DATA / golden, tmp_path / "here")
    for layer, place in enumerate(written):
        end = f".{layer}" if len(written) > 1 else ""
        sae = open_dictionary(place)
        acts = sae.encode(expected["x"])
        assert torch.equal(acts > 0, expected[f"acts{end}"] > 0)
        assert torch.allclose(acts, expected[f"acts{end}"], **CLOSE)
        assert torch.allclose(sae(expected["x"]), expected[f"out{end}"], **CLOSE)


@pytest.mark.parametrize("golden", GOLDEN)
def test_its_card_says_what_it_was_read_from(golden: str, tmp_path: Path) -> None:
    for layer, place in enumerate(import_dictionary(DATA / golden, tmp_path / "here")):
        provenance = DictionaryCard.of(open_dictionary(place)).provenance
        assert provenance is not None
        files = provenance.settings["files"]
        assert provenance.settings["format"] == golden.split("/")[0]
        assert len(files) == 2
        for name, digest in files.items():
            assert sha256_file(DATA / golden / name) == digest, layer


def test_sites_and_models_are_read_where_the_tools_say_them(tmp_path: Path) -> None:
    expected = {
        "dictionary_learning/GatedAutoEncoder": ("blocks.2.hook_resid_post", None),
        "sparsify/topk/layers.3": ("blocks.3.hook_resid_post", None),
        "sparsify/groupmax/layers.3.mlp": ("blocks.3.hook_mlp_out", None),
        "sparsify/groupmax_skip/h.0.mlp": ("blocks.0.mlp.hook_in", "blocks.0.hook_mlp_out"),
        "circuit_tracer/relu": ("blocks.0.mlp.hook_in", "blocks.0.hook_mlp_out"),
    }
    for source, sites in expected.items():
        place = import_dictionary(DATA / source, tmp_path / source.replace("/", "-"))[0]
        card = DictionaryCard.of(open_dictionary(place))
        assert (card.site, card.site_out) == sites
        if not source.startswith("sparsify"):
            assert card.model in ("EleutherAI/pythia-70m-deduped", "google/gemma-2-2b")


def test_what_the_user_names_stands_before_what_the_source_says(tmp_path: Path) -> None:
    source = DATA / "dictionary_learning" / "AutoEncoder"
    (place,) = import_dictionary(
        source, tmp_path / "here", site="blocks.5.hook_mlp_out", model="owner/other"
    )
    card = DictionaryCard.of(open_dictionary(place))
    assert (card.site, card.model) == ("blocks.5.hook_mlp_out", "owner/other")


def test_a_model_that_the_user_names_has_not_the_hash_of_another(tmp_path: Path) -> None:
    sae = a_set(Case("sparsify", "topk", {}))
    export_dictionaries(sae, tmp_path / "there", format="sparsify")
    (place,) = import_dictionary(tmp_path / "there", tmp_path / "here", model="owner/other")
    assert DictionaryCard.of(open_dictionary(place)).model_hash is None


@pytest.mark.parametrize("case", ROUND, ids=lambda case: "-".join(map(str, case)))
def test_out_and_in_again_it_computes_the_same(case: Case, tmp_path: Path) -> None:
    saes = a_set(case)
    export_dictionaries(saes, tmp_path / "there", format=case.format)
    back = import_dictionary(tmp_path / "there", tmp_path / "here")
    assert len(back) == len(saes)
    for sae, place in zip(saes, back, strict=True):
        again = open_dictionary(place)
        assert torch.allclose(again.encode(rows()), sae.encode(rows()), **CLOSE)
        assert torch.allclose(again(rows()), sae(rows()), **CLOSE)
        written, read = DictionaryCard.of(sae), DictionaryCard.of(again)
        assert (read.site, read.site_out) == (written.site, written.site_out)
        assert read.model == "owner/tiny"
        if case.format != "circuit_tracer":
            assert read.model_hash == "m" * 64


def test_one_threshold_for_all_goes_out_as_batchtopk(tmp_path: Path) -> None:
    (sae,) = a_set(Case("dictionary_learning", "jumprelu", {}))
    sae.state_dict()["threshold"].fill_(0.3)
    sae.cfg.metadata.training_architecture_details = {"k": 3.5}
    export_dictionaries([sae], tmp_path / "there", format="dictionary_learning")
    (back,) = import_dictionary(tmp_path / "there", tmp_path / "here")
    again = open_dictionary(back)
    assert again.cfg.metadata.training_architecture == "batchtopk"
    assert torch.allclose(again(rows()), sae(rows()), **CLOSE)


def test_a_threshold_that_was_never_set_is_zero_here(tmp_path: Path) -> None:
    source = Path(shutil.copytree(DATA / "dictionary_learning" / "BatchTopKSAE", tmp_path / "in"))
    tensors = torch.load(source / "ae.pt", weights_only=True)  # noqa: TID251  # as the tool does
    tensors["threshold"] = torch.tensor(-1.0)
    torch.save(tensors, source / "ae.pt")
    (place,) = import_dictionary(source, tmp_path / "here")
    sae = open_dictionary(place)
    x = load_file(source / "expected.safetensors")["x"]
    before = (x - tensors["b_dec"]) @ tensors["encoder.weight"].T + tensors["encoder.bias"]
    assert sae.state_dict()["threshold"].eq(0).all()
    assert torch.allclose(sae.encode(x), before.relu(), **CLOSE)


def test_below_a_negative_threshold_nothing_passes_that_did_not_here(tmp_path: Path) -> None:
    sae = at_layer("jumprelu_transcoder", 0)
    sae.state_dict()["threshold"].neg_()
    export_dictionaries([sae], tmp_path / "there", format="circuit_tracer")
    tensors = load_file(tmp_path / "there" / "layer_0.safetensors")
    before = rows() @ tensors["W_enc"].T + tensors["b_enc"]
    theirs = before * (before > tensors["activation_function.threshold"])
    assert torch.allclose(theirs, sae.encode(rows()), **CLOSE)


def test_a_set_goes_out_from_the_directory_that_it_came_into(tmp_path: Path) -> None:
    source = DATA / "circuit_tracer" / "jumprelu"
    import_dictionary(source, tmp_path / "here")
    export_named([str(tmp_path / "here")], tmp_path / "there", format="circuit_tracer")
    for layer in range(2):
        name = f"layer_{layer}.safetensors"
        ours, theirs = load_file(tmp_path / "there" / name), load_file(source / name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("name", sorted(path.name for path in (DATA / "sparsify").iterdir()))
def test_sparsify_files_go_out_with_the_names_and_bytes_they_came_with(
    name: str, tmp_path: Path
) -> None:
    (source,) = (DATA / "sparsify" / name).iterdir()
    (place,) = import_dictionary(source, tmp_path / "here")
    export_named([str(place)], tmp_path / "there", format="sparsify")
    ours = load_file(tmp_path / "there" / "sae.safetensors")
    theirs = load_file(source / "sae.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


CANNOT: dict[str, tuple[str, Callable[[], Sequence[SAE[Any]]], str]] = {
    "the sign of abstopk": (
        "dictionary_learning",
        lambda: [made("abstopk")],
        "no 'abstopk' .*it has standard",
    ),
    "a transcoder": ("dictionary_learning", lambda: [made("transcoder")], "no 'transcoder'"),
    "relu": ("sparsify", lambda: [made("standard")], "no 'standard' .*it has topk"),
    "unequal widths": ("sparsify", lambda: [made("topk_transcoder")], "not 6 and 5"),
    "no subtraction": (
        "sparsify",
        lambda: [made("topk", apply_b_dec_to_input=False)],
        "subtracts b_dec",
    ),
    "a gate without subtraction": (
        "dictionary_learning",
        lambda: [made("gated", apply_b_dec_to_input=False)],
        "subtracts b_dec",
    ),
    "normalised inputs": (
        "dictionary_learning",
        lambda: [made("standard", normalize_activations="layer_norm")],
        "'layer_norm'",
    ),
    "two in a directory of one": (
        "sparsify",
        lambda: [made("topk"), made("topk")],
        "one dictionary, not 2",
    ),
    "an autoencoder in a set": ("circuit_tracer", lambda: [made("jumprelu")], "no 'jumprelu'"),
    "a gap between layers": (
        "circuit_tracer",
        lambda: [at_layer("transcoder", 0), at_layer("transcoder", 2)],
        "layers 0, 2",
    ),
    "a layer twice": (
        "circuit_tracer",
        lambda: [at_layer("transcoder", 0), at_layer("transcoder", 0)],
        "one transcoder a layer",
    ),
    "two kinds in a set": (
        "circuit_tracer",
        lambda: [at_layer("transcoder", 0), at_layer("skip_transcoder", 1)],
        "one architecture",
    ),
}


@pytest.mark.parametrize("what", CANNOT)
def test_what_a_format_cannot_say_is_refused_by_name(what: str, tmp_path: Path) -> None:
    format, saes, message = CANNOT[what]
    with pytest.raises(Unsupported, match=message):
        export_dictionaries(saes(), tmp_path / "there", format=format)
    assert not list(tmp_path.iterdir())


def test_the_folder_is_the_registry() -> None:
    assert set(formats()) == {"dictionary_learning", "sparsify", "circuit_tracer", "sae_lens"}
    assert {case.format for case in ROUND} == set(formats())


def test_exporting_does_not_change_what_is_exported(tmp_path: Path) -> None:
    sae = made("topk", rescale_acts_by_decoder_norm=True)
    before: dict[str, Tensor] = {name: t.clone() for name, t in sae.state_dict().items()}
    export_dictionaries([sae], tmp_path / "there", format="sparsify")
    assert all(torch.equal(before[name], tensor) for name, tensor in sae.state_dict().items())


def at_layer(architecture: str, layer: int) -> SAE[Any]:
    """A transcoder between equal widths, with the card of its layer."""
    sae = made(architecture, seed=layer, d_out=D_IN)
    sites = (f"blocks.{layer}.mlp.hook_in", f"blocks.{layer}.hook_mlp_out")
    card = replace(DictionaryCard.of(sae), site=sites[0], site_out=sites[1], model="owner/tiny")
    card.write_to(sae)
    return sae


def a_set(case: Case) -> list[SAE[Any]]:
    """Two layers for a format of sets, one dictionary for the others."""
    if case.format == "circuit_tracer":
        return [at_layer(case.architecture, layer) for layer in range(2)]
    sae = made(case.architecture, d_out=D_IN, **case.more)
    card = replace(DictionaryCard.of(sae), site="blocks.1.hook_mlp_out", model="owner/tiny")
    replace(card, model_hash="m" * 64).write_to(sae)
    return [sae]
