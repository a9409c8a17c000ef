"""What is let pass leaves a trace, a site can be named, and in-sample figures are told."""

from dataclasses import replace
from pathlib import Path

import pytest

from interp.capture.store import ActivationStore
from interp.capture.weights import in_memory_hash
from interp.dictionaries.card import DictionaryCard
from interp.dictionaries.evaluation import DictionaryEvaluation, evaluate_dictionary
from interp.dictionaries.evaluation.admission import trained_on
from interp.dictionaries.training.source import store_facts
from interp.models.load import load
from interp.results.errors import BadInput, Mismatch
from tests.dictionaries.evaluation.conftest import SITE, SITE_OUT
from tests.models import tiny_model_directory


def forced_statements(found: DictionaryEvaluation) -> list[str]:
    return [said for said in found.statements if said.startswith("Forced")]


def test_a_use_that_fits_is_not_called_forced(sae, store, bridge, corpus) -> None:
    found = evaluate_dictionary(
        sae, store, model=bridge, corpus=corpus, n_tokens=50, n_spliced=20, baselines=[]
    )
    settings = found.provenance.settings
    assert forced_statements(found) == []
    assert settings["force"] is False
    assert settings["spliced_model_hash"] == store.provenance.model_hash


def test_a_forced_model_is_named_with_the_dictionarys_and_the_stores(
    sae, store, corpus, tmp_path: Path
) -> None:
    other = load(tiny_model_directory("gpt2", tmp_path / "other", seed=1), device="cpu")
    found = evaluate_dictionary(
        sae, store, model=other, corpus=corpus, n_tokens=50, n_spliced=20, baselines=[], force=True
    )
    captured, spliced = store.provenance.model_hash, in_memory_hash(other)
    assert found.provenance.model_hash == captured != spliced
    assert found.provenance.settings["force"] is True
    assert found.provenance.settings["spliced_model_hash"] == spliced
    said = forced_statements(found)
    assert len(said) == 2
    for text in said:
        assert captured[:12] in text
        assert spliced[:12] in text


def test_a_forced_store_is_named_with_the_dictionarys_model(make_sae, store) -> None:
    stranger = make_sae()
    replace(DictionaryCard.of(stranger), model_hash="f" * 64).write_to(stranger)
    found = evaluate_dictionary(stranger, store, n_tokens=50, baselines=[], force=True)
    (said,) = forced_statements(found)
    assert "f" * 12 in said
    assert store.provenance.model_hash[:12] in said
    assert found.provenance.settings["spliced_model_hash"] is None


def test_another_site_is_read_by_name_where_that_is_forced(sae, store) -> None:
    with pytest.raises(Mismatch, match="--force"):
        evaluate_dictionary(sae, store, site=SITE_OUT, n_tokens=50, baselines=[])
    found = evaluate_dictionary(sae, store, site=SITE_OUT, n_tokens=50, baselines=[], force=True)
    (said,) = forced_statements(found)
    assert SITE in said
    assert SITE_OUT in said
    assert found.provenance.settings["sites"] == [SITE_OUT, SITE_OUT]
    own = evaluate_dictionary(sae, store, n_tokens=50, baselines=[])
    assert found["mse"].value != own["mse"].value


def test_a_dictionary_without_a_site_needs_one_where_the_store_has_several(make_sae, store) -> None:
    nameless = make_sae()
    replace(DictionaryCard.of(nameless), site=None).write_to(nameless)
    with pytest.raises(BadInput, match="--site"):
        evaluate_dictionary(nameless, store, n_tokens=50, baselines=[])
    found = evaluate_dictionary(nameless, store, site=SITE, n_tokens=50, baselines=[])
    assert forced_statements(found) == []
    with pytest.raises(Mismatch, match="not blocks.7.hook_mlp_out"):
        evaluate_dictionary(nameless, store, site="blocks.7.hook_mlp_out")


def test_a_dictionary_trained_on_the_store_is_in_sample_and_says_so(make_sae, store) -> None:
    trained = make_sae()
    replace(DictionaryCard.of(trained), store_identity=store_facts(store).identity).write_to(
        trained
    )
    found = evaluate_dictionary(trained, store, n_tokens=50, baselines=[])
    assert "The dictionary was trained on this store: its figures are in-sample." in (
        found.statements
    )


def test_where_a_corpus_is_not_known_in_sample_is_not_ruled_out(
    make_sae, store: ActivationStore
) -> None:
    card = replace(DictionaryCard.of(make_sae()), store_identity="0" * 64 + "/7")
    corpus = store.provenance.corpus_hash
    assert "trained on this corpus" in str(trained_on(replace(card, corpus_hash=corpus), store))
    assert "not ruled out" in str(trained_on(replace(card, corpus_hash=None), store))
    assert trained_on(replace(card, corpus_hash="c" * 64), store) is None
