"""Search finds what was planted, and says when nothing can be found."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from sae_lens.saes.jumprelu_sae import JumpReLUSAE

from interp.dictionaries.files import save_dictionary
from interp.dictionaries.views.feature_views import FeatureViews
from interp.dictionaries.views.run import view_features
from interp.dictionaries.views.search import search_features
from interp.results.errors import BadInput, Mismatch
from tests.dictionaries.views.planted import LANGUAGE_TOKEN, WORDS, planted_dictionary


def test_a_token_finds_the_feature_planted_on_it_and_no_other(views):
    for token in (WORDS[3], 3):
        (hit,) = search_features(views, token=token)
        assert hit.feature == 3 and hit.q_value < 1e-10
        assert hit.score == pytest.approx(views.n_rows / views.token_count[3])


def test_a_label_finds_the_feature_of_its_token_first(views):
    hits = search_features(views, label=("language", 2), n=3)
    assert hits[0].feature == LANGUAGE_TOKEN and hits[0].q_value < 0.01
    assert hits[0].score > hits[0].null and len(hits) == 3
    assert all(hit.q_value > 0.05 for hit in hits[1:])


def test_a_feature_is_most_like_itself_in_a_saved_or_given_dictionary(store, tmp_path):
    path = save_dictionary(planted_dictionary(), tmp_path / "sae")
    views = view_features(path, store)
    other: JumpReLUSAE = planted_dictionary()
    other.W_dec.data = other.W_dec.data.flip(0)
    for dictionary, feature in ((str(path), 4), (other, 23 - 4)):
        hits = search_features(views, like=(dictionary, feature), n=2)
        assert hits[0].feature == 4 and hits[0].score == pytest.approx(1)
        assert hits[1].score < hits[1].null
    with pytest.raises(Mismatch, match="width 32 and 33"):
        search_features(views, like=(planted_dictionary(d_in=33), 0))
    with pytest.raises(BadInput, match="feature 99"):
        search_features(views, like=(other, 99))


def test_matching_a_whole_dictionary_finds_where_each_feature_went(store, tmp_path):
    path = save_dictionary(planted_dictionary(), tmp_path / "sae")
    views = view_features(path, store)
    other: JumpReLUSAE = planted_dictionary()
    other.W_dec.data = other.W_dec.data.flip(0)
    other.W_dec.data[0] = torch.randn(32, generator=torch.Generator().manual_seed(3))
    hits = search_features(views, like=(other, None), n=24)
    assert len(hits) == 24 and all(a.score >= b.score for a, b in pairwise(hits))
    for hit in hits[:-1]:
        assert hit.score == pytest.approx(1) and hit.null < 0.9
        assert hit.evidence == f"feature {23 - hit.feature} there, each the other's nearest"
    assert hits[-1].feature == 23 and hits[-1].score < 0.9


def test_views_find_their_dictionary_from_elsewhere_and_refuse_another_in_its_place(
    store, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    save_dictionary(planted_dictionary(), tmp_path / "sae")
    views = view_features("sae", store)
    view_path = views.save(tmp_path / "views")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    loaded = FeatureViews.load(view_path)
    (hit,) = search_features(loaded, like=(planted_dictionary(), 4), n=1)
    assert hit.feature == 4
    # Of a release its id is needed as well: here it is passed on to where there is none.
    released = replace(loaded, sae_id="layer_3")
    assert FeatureViews.load(released.save(tmp_path / "released")).sae_id == "layer_3"
    with pytest.raises(BadInput, match="no id 'layer_3'"):
        search_features(released, like=(planted_dictionary(), 4))
    altered = planted_dictionary()
    altered.W_dec.data[0, 0] += 1
    save_dictionary(altered, tmp_path / "sae", overwrite=True)
    with pytest.raises(Mismatch, match="no longer has the weights"):
        search_features(loaded, like=(planted_dictionary(), 4))


def test_what_cannot_be_found_is_said_with_what_can(views):
    with pytest.raises(BadInput, match="did you mean ' w3'"):
        search_features(views, token="w3")
    with pytest.raises(BadInput, match="no token"):
        search_features(views, token="nowhere")
    with pytest.raises(BadInput, match="stands in no row"):
        search_features(views, token=10_000)
    with pytest.raises(BadInput, match="fractions"):
        search_features(views, label=("weight", 1))
    with pytest.raises(BadInput, match="never 7.*0, 1, 2"):
        search_features(views, label=("language", 7))
    with pytest.raises(BadInput, match="no label 'x'.*language, even"):
        search_features(views, label=("x", 7))
    with pytest.raises(BadInput, match="one of"):
        search_features(views)
