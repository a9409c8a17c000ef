"""A card travels in the dictionary, and a dictionary is refused where it does not fit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from interp.capture.header import StoreHeader
from interp.capture.manifest import Manifest
from interp.capture.store import ActivationStore
from interp.dictionaries.card import KEY, DictionaryCard, check_fits, same_site
from interp.dictionaries.files import open_dictionary, save_dictionary
from interp.results.errors import BadInput, CorruptFile, Mismatch
from interp.results.provenance import Provenance
from tests.dictionaries.making import D_IN, D_OUT, D_SAE, in_training, made

PROVENANCE = Provenance.collect(
    "a test", model_hash="m" * 64, corpus_hash="c" * 64, seed=3, settings={"k": 4}
)


def card(**fields: object) -> DictionaryCard:
    base = DictionaryCard.of(made("standard"))
    return replace(base, site="blocks.1.hook_resid_post", model="owner/tiny", **fields)


def store(
    sites: dict[str, tuple[int, ...]], *, model_hash: str | None = "m" * 64
) -> ActivationStore:
    header = StoreHeader(
        sites=sites,
        dtype="float32",
        columns={},
        asked=1,
        batch_size=1,
        sequences_per_forward=1,
        sequences_per_shard=1,
        length=1,
        drop_special=False,
        absent_layers={},
        vocabulary_sha256=None,
        fidelity={},
        provenance=replace(PROVENANCE, model_hash=model_hash),
    )
    return ActivationStore(Path("a-store"), header, Manifest(shards=(), ending=None))


def test_a_card_comes_back_from_disk_as_it_was_written(tmp_path: Path) -> None:
    sae = made("skip_transcoder")
    written = replace(
        DictionaryCard.of(sae),
        site="blocks.1.mlp.hook_in",
        site_out="blocks.1.hook_mlp_out",
        model="owner/tiny",
        model_hash="m" * 64,
        corpus_hash="c" * 64,
        store_identity="s" * 64,
        store_rows=1000,
        n_training_tokens=5000,
        seed=3,
        provenance=PROVENANCE,
    )
    written.write_to(sae)
    found = DictionaryCard.of(open_dictionary(save_dictionary(sae, tmp_path / "dictionary")))
    assert found == written
    assert (found.d_in, found.d_sae, found.d_out) == (D_IN, D_SAE, D_OUT)


def test_a_dictionary_trained_elsewhere_has_the_card_that_sae_lens_knows() -> None:
    sae = made("topk")
    sae.cfg.metadata.hook_name = "blocks.3.hook_resid_pre"
    sae.cfg.metadata.model_name = "gpt2-small"
    found = DictionaryCard.of(sae)
    assert (found.site, found.model) == ("blocks.3.hook_resid_pre", "gpt2-small")
    assert found.provenance is None and found.model_hash is None and found.seed is None


def test_a_dictionary_in_training_has_the_card_of_what_it_will_be() -> None:
    found = DictionaryCard.of(in_training("batchtopk"))
    assert (found.architecture, found.training_architecture) == ("jumprelu", "batchtopk")


def test_a_card_of_other_widths_cannot_be_written() -> None:
    with pytest.raises(Mismatch, match="6 to 24 to 6 .* 6 to 24 to 5"):
        card().write_to(made("transcoder"))


def test_a_garbled_card_is_one_error() -> None:
    sae = made("standard")
    sae.cfg.metadata[KEY] = {"schema": "interp.dictionary-card/1", "provenance": {"seed": 0}}
    with pytest.raises(CorruptFile, match="command"):
        DictionaryCard.of(sae)


REFUSED: dict[str, tuple[Callable[[bool], None], str]] = {
    "another model by hash": (
        lambda force: check_fits(card(model_hash="a" * 64), model_hash="b" * 64, force=force),
        "aaaaaaaaaaaa.*bbbbbbbbbbbb.*--force",
    ),
    "another model by name": (
        lambda force: check_fits(card(), model="owner/small", force=force),
        "owner/tiny.*owner/small.*--force",
    ),
    "another site": (
        lambda force: check_fits(card(), site="blocks.2.hook_resid_post", force=force),
        "blocks.1.hook_resid_post.*blocks.2.hook_resid_post.*--force",
    ),
    "the store of another model": (
        lambda force: check_fits(
            card(model_hash="a" * 64),
            store=store({"blocks.1.hook_resid_post": (D_IN,)}),
            force=force,
        ),
        "aaaaaaaaaaaa.*mmmmmmmmmmmm.*--force",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_use_that_does_not_fit_names_both_and_can_be_forced(case: str) -> None:
    use, message = REFUSED[case]
    with pytest.raises(Mismatch, match=message):
        use(False)
    use(True)


@pytest.mark.parametrize("force", [False, True])
def test_another_width_cannot_be_forced(force: bool) -> None:
    with pytest.raises(Mismatch, match="6, rows of 7: nothing can force"):
        check_fits(card(), width=7, force=force)
    with pytest.raises(Mismatch, match=r"6, blocks.1.hook_resid_post of a-store of 12"):
        check_fits(card(), store=store({"blocks.1.hook_resid_post": (3, 4)}), force=force)


def test_a_store_without_the_site_is_refused_and_heads_are_flattened() -> None:
    with pytest.raises(Mismatch, match=r"a-store holds blocks.0.hook_resid_post"):
        check_fits(card(), store=store({"blocks.0.hook_resid_post": (D_IN,)}))
    check_fits(card(), store=store({"blocks.1.hook_resid_post": (2, 3)}))


def test_a_transcoder_wants_both_of_its_sites() -> None:
    transcoder = replace(card(), d_out=D_OUT, site_out="blocks.1.hook_mlp_out")
    sites = {"blocks.1.hook_resid_post": (D_IN,)}
    with pytest.raises(Mismatch, match="hook_mlp_out"):
        check_fits(transcoder, store=store(sites))
    check_fits(transcoder, store=store({**sites, "blocks.1.hook_mlp_out": (D_OUT,)}))


def test_what_is_unknown_on_either_side_is_not_compared() -> None:
    bare = DictionaryCard.of(made("standard"))
    check_fits(bare, model="any", model_hash="a" * 64, site="blocks.9.hook_mlp_out")
    check_fits(card(model_hash="a" * 64), model="tiny")


def test_what_one_block_writes_is_what_the_next_reads() -> None:
    assert same_site("blocks.7.hook_resid_post", "blocks.8.hook_resid_pre")
    assert same_site("blocks.7.hook_out", "blocks.7.hook_resid_post")
    assert not same_site("blocks.7.hook_resid_post", "blocks.7.hook_resid_pre")
    assert not same_site("blocks.7.hook_mlp_out", "blocks.7.hook_resid_post")
    check_fits(card(), site="blocks.2.hook_resid_pre")
    check_fits(card(), store=store({"blocks.2.hook_resid_pre": (D_IN,)}))


def test_the_hub_name_and_the_short_name_of_a_model_agree() -> None:
    gpt2 = replace(card(), model="gpt2-small")
    check_fits(gpt2, model="openai-community/gpt2")
    with pytest.raises(Mismatch):
        check_fits(gpt2, model="openai-community/gpt2-medium")


def test_an_unknown_site_of_a_store_is_still_the_stores_own_error() -> None:
    with pytest.raises(BadInput, match="has no site"):
        store({"a": (2,)}).shape("b")
    assert np.prod(store({"a": (2, 3)}).shape("a")) == 6
