"""The views of a planted dictionary: feature t says that it stands for token t."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig
from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig
from sae_lens.saes.transcoder import Transcoder, TranscoderConfig

from interp.dictionaries.card import DictionaryCard
from interp.dictionaries.views.describers.endpoint import prompt
from interp.dictionaries.views.encoding import Encoder
from interp.dictionaries.views.feature_views import FeatureViews
from interp.dictionaries.views.reading import viewed_batches
from interp.dictionaries.views.run import view_features
from interp.results.errors import BadInput, CorruptFile, Mismatch
from interp.results.finding import DATA
from tests.dictionaries.views.planted import (
    D_IN,
    D_SAE,
    LANGUAGE_TOKEN,
    LOUD_NEURON,
    NEURONS,
    SILENT,
    SITE,
    WORDS,
    directions,
    planted_dictionary,
    planted_store,
)
from tests.dictionaries.views.test_accumulators import assert_equal


@pytest.mark.parametrize("feature", [0, 3, 22])
def test_a_feature_planted_on_a_token_fires_on_that_token_alone(views, feature):
    view = views.feature(feature)
    contexts = (*view.strongest, *view.sampled)
    assert contexts and {context.token_id for context in contexts} == {feature}
    assert {context.tokens[context.marked] for context in contexts} == {WORDS[feature]}
    assert view.n_active == views.token_count[feature] == view.token_rows[feature]
    assert len({context.row // 20 for context in view.strongest}) == len(view.strongest)


def test_a_feature_that_never_fires_says_so_and_has_nothing_else(views):
    view = views.feature(SILENT)
    assert view.n_active == 0 and view.density.low == 0 < view.density.high
    assert (view.strongest, view.sampled, view.companions, view.neurons) == ((), (), (), ())


def test_the_neuron_that_carries_a_feature_stands_far_above_chance(views):
    first, second = views.feature(3).neurons[:2]
    assert first.index == LOUD_NEURON and first.strength > 0.5
    null = views.feature(3).neuron_null
    assert second.strength < 1.5 * null < first.strength


def test_a_token_of_one_language_is_told_above_chance(views):
    found = {(d.column, d.value): d for d in views.feature(LANGUAGE_TOKEN).detections}
    told, other = found["language", 2], found["language", 0]
    assert told.unit == "documents" and told.q_value < 0.01 and other.q_value == 1
    assert told.average_precision.value > told.base_rate


def test_orthogonal_features_are_no_nearer_than_random_directions(views):
    assert max(partner.strength for partner in views.feature(4).neighbours) < 1e-5
    assert 0.2 < views.neighbours.null < 0.8


def test_the_batch_size_does_not_matter(store, views):
    found = view_features(planted_dictionary(), store, neurons=NEURONS, batch_size=77)
    for name in ("activity", "strongest", "sampled", "coactivation", "neurons", "labels"):
        assert_equal(getattr(found, name), getattr(views, name), name)


def test_saved_views_are_read_from_the_file_as_they_were(views, tmp_path):
    path = views.save(tmp_path / "views")
    loaded = FeatureViews.load(path, verify=True)
    assert isinstance(loaded.activity.histogram, np.memmap)
    for name in ("activity", "strongest", "sampled", "neighbours", "neurons", "labels"):
        for mine, theirs in ((getattr(views, name), getattr(loaded, name)),):
            assert_plain_equal(mine, theirs)
    assert loaded.vocabulary == views.vocabulary and loaded.provenance == views.provenance
    assert repr(loaded.feature(3)) == repr(views.feature(3))


def assert_plain_equal(one, other):
    if isinstance(one, tuple) and one and not np.isscalar(one[0]):
        for a, b in zip(one, other, strict=True):
            assert_plain_equal(a, b)
        return
    for name, value in vars(one).items():
        np.testing.assert_array_equal(value, getattr(other, name))


def test_cut_altered_and_foreign_findings_are_refused(views, tmp_path):
    path = views.save(tmp_path / "views")
    content = (path / DATA).read_bytes()
    (path / DATA).write_bytes(content[:-5])
    with pytest.raises(CorruptFile, match="whole"):
        FeatureViews.load(path)
    (path / DATA).write_bytes(content[:-5] + b"12345")
    with pytest.raises(CorruptFile, match="checksum"):
        FeatureViews.load(path, verify=True)
    (path / DATA).unlink()
    with pytest.raises(CorruptFile, match="missing"):
        FeatureViews.load(path)
    header = json.loads((path / "header.json").read_text())
    (path / "header.json").write_text(json.dumps({**header, "schema": "interp.mask/1"}))
    with pytest.raises(BadInput, match="feature-views"):
        FeatureViews.load(path)


def test_a_view_names_every_character_that_could_steer_a_terminal(store):
    view = view_features(planted_dictionary(), store).feature(0)
    hostile = replace(view.strongest[0], tokens=("<script>", "\x1b[2J"), marked=1)
    shown = replace(view, strongest=(hostile,))
    assert "\x1b" not in repr(shown) and "<script>" not in shown._repr_html_()


def test_a_feature_out_of_range_is_refused(views):
    with pytest.raises(BadInput, match=f"feature 99.*0 to {D_SAE - 1}"):
        views.feature(99)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused_with_its_row(tmp_path, poison):
    path = planted_store(tmp_path / "store", poison=poison)
    with pytest.raises(BadInput, match=f"{poison} in row 1234, unit 3"):
        view_features(planted_dictionary(), path)


def test_a_dictionary_of_another_model_site_or_width_is_refused(store):
    foreign = planted_dictionary(model_hash="ff" * 32)
    with pytest.raises(Mismatch, match="--force"):
        view_features(foreign, store)
    assert view_features(foreign, store, force=True).n_rows == store.n_rows
    with pytest.raises(Mismatch, match="blocks.0.hook_resid_post"):
        view_features(planted_dictionary(), store, site=NEURONS)
    with pytest.raises(Mismatch, match="width"):
        view_features(planted_dictionary(d_in=33), store)
    with pytest.raises(BadInput, match="no site"):
        view_features(planted_dictionary(), store, neurons="blocks.9.mlp.hook_post")


@pytest.mark.parametrize(
    "asked",
    [{"n_strongest": 0}, {"n_sampled": 0}, {"width": -1}, {"n_partners": 0}, {"batch_size": -5}],
)
def test_numbers_that_leave_nothing_to_view_are_refused(store, asked):
    ((name, number),) = asked.items()
    with pytest.raises(BadInput, match=f"{name} is {number}: expected at least"):
        view_features(planted_dictionary(), store, **asked)


def test_a_transcoder_needs_its_input_alone_in_the_store(store):
    with torch.random.fork_rng():
        config = TranscoderConfig(
            d_in=D_IN, d_out=16, d_sae=D_SAE, device="cpu", apply_b_dec_to_input=False
        )
        sae = Transcoder(config)
    facts = {**vars(DictionaryCard.of(sae)), "site": SITE, "site_out": "blocks.7.hook_mlp_out"}
    DictionaryCard(**facts).write_to(sae)
    assert view_features(sae, store).d_sae == D_SAE
    absent = {**facts, "site": "blocks.8.hook_mlp_in"}
    DictionaryCard(**absent).write_to(sae)
    with pytest.raises(BadInput, match="blocks.8.hook_mlp_in"):
        view_features(sae, store)


def test_words_without_a_mark_of_a_space_are_shown_apart_and_subwords_as_they_are(store):
    views = view_features(planted_dictionary(), store)
    subwords = views.feature(3).strongest[0]
    assert "w" in subwords.line and subwords.line.replace("«", "").replace("»", "") == "".join(
        subwords.tokens
    )
    assert views.vocabulary is not None
    bare = replace(views, vocabulary=tuple(word.strip() for word in views.vocabulary))
    words = bare.feature(3).strongest[0]
    assert words.line.split(" ")[words.marked] == "«w3»"
    assert len(words.line.split(" ")) == len(words.tokens)
    assert words.line in repr(bare.feature(3)) and words.line in prompt(bare.feature(3))


def test_a_store_without_a_vocabulary_shows_ids(tmp_path):
    path = planted_store(tmp_path / "store", n=400, with_words=False)
    view = view_features(planted_dictionary(), path).feature(2)
    assert view.strongest[0].tokens[view.strongest[0].marked] == "[2]"


def _random(kind, config, **options):
    with torch.random.fork_rng():
        sae = kind(config(d_in=D_IN, d_sae=D_SAE, device="cpu", **options))
    generator = torch.Generator().manual_seed(3)
    sae.W_enc.data = torch.randn(D_IN, D_SAE, generator=generator)
    return sae.eval()


@pytest.mark.parametrize(
    "sae",
    [
        planted_dictionary(),
        _random(StandardSAE, StandardSAEConfig),
        _random(TopKSAE, TopKSAEConfig, k=3),
        _random(StandardSAE, StandardSAEConfig, normalize_activations="layer_norm"),
    ],
    ids=["jumprelu", "standard", "topk", "layer_norm"],
)
def test_the_active_entries_are_those_that_sae_lens_encodes(sae):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(50, D_IN, generator=generator)
    encoder = Encoder(sae)
    encoder.active(rows[:7])
    found = encoder.active(rows)
    dense = np.zeros((50, D_SAE), np.float32)
    dense[found.row, found.feature] = found.value
    np.testing.assert_allclose(dense, sae.encode(rows).detach().numpy(), atol=1e-5)
    place = found.feature.astype(np.int64) * 50 + found.row
    assert (np.diff(place) > 0).all() and (found.value > 0).all()


def test_a_negative_threshold_lets_no_negative_entry_pass():
    sae = planted_dictionary()
    sae.threshold.data.fill_(-1.0)
    rows = -torch.from_numpy(directions())
    assert (Encoder(sae).active(rows).value > 0).all()


def test_every_row_of_a_store_is_counted_once(store):
    batches = viewed_batches(
        store,
        Encoder(planted_dictionary()),
        d_sae=D_SAE,
        site=SITE,
        neurons=None,
        labels=[],
        rows=(0, store.n_rows),
        batch_size=333,
        width=4,
        device=torch.device("cpu"),
    )
    rows = np.concatenate([batch.firings.core().rows for batch in batches])
    np.testing.assert_array_equal(rows, np.arange(store.n_rows))
