"""The whole evaluation on a tiny model: what must hold, what is kept on disk, what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig

from interp.capture import record
from interp.corpus.corpus import Corpus
from interp.dictionaries.card import DictionaryCard
from interp.dictionaries.evaluation import MEASURES, DictionaryEvaluation, evaluate_dictionary
from interp.dictionaries.evaluation.contestants import Coded, Contestant
from interp.dictionaries.evaluation.splicing import Sites, spliced_losses, splicing_measures
from interp.dictionaries.matching import directions
from interp.dictionaries.weights_hash import weights_sha256
from interp.models.load import load
from interp.results.errors import BadInput, CorruptFile, Mismatch
from interp.results.sequence_sums import bootstrap
from tests.dictionaries.evaluation.conftest import D_SAE, LENGTH, SITE, SITE_IN, SITE_OUT, corpus_of
from tests.models import BOS, D_VOCAB, PAD, tiny_model_directory
from tests.plots.hostile import HOSTILE


@pytest.fixture(scope="module")
def found(sae, make_sae, store, bridge, corpus) -> DictionaryEvaluation:
    return evaluate_dictionary(
        sae,
        store,
        model=bridge,
        corpus=corpus,
        n_tokens=400,
        n_spliced=300,
        others={"itself": sae, "another": make_sae(7)},
        truth=directions(sae)[:10],
    )


def test_every_cell_has_its_n_and_lies_in_its_interval(found) -> None:
    assert [row.key for row in found.contestants] == [
        *("dictionary", "pca", "random", "neurons", "randomised_model")
    ]
    measured = ~np.isnan(found.value)
    assert (measured == (found.n > 0)).all()
    ends = measured & ~np.isnan(found.low)
    assert (found.low[ends] <= found.value[ends] + 1e-9).all()
    assert (found.value[ends] <= found.high[ends] + 1e-9).all()
    assert set(found.measures) <= set(MEASURES)
    assert found.counted("dictionary", "explained_variance") == found.n_rows <= 400
    assert found.counted("dictionary", "dead") == D_SAE


def test_measures_agree_with_one_another(found) -> None:
    residual = (1 - found["explained_variance"].value) / found["normalised_mse"].value
    assert residual >= 1, "the variance about the mean is at most the mean square"
    assert found.fired.sum() / found.n_rows == pytest.approx(found["l0"].value)
    assert found["dead"].value == pytest.approx((found.fired == 0).mean())
    histogram = found.to_json()["density"]
    assert sum(histogram["features"]) + histogram["dead"] == D_SAE
    assert found.l0_quantiles[0] <= found["l0"].value <= found.l0_quantiles[-1]
    assert found["mmcs"].value == pytest.approx(1, abs=1e-5)
    assert found["recovered"].value == 1


def test_a_dictionary_shares_all_features_with_itself_and_few_with_another(found) -> None:
    itself, another = found.shared
    assert itself.best.value == itself.one_to_one.value == 1
    assert itself.mean_cosine.value == pytest.approx(1, abs=1e-5)
    assert another.best.value == pytest.approx(another.null_best, abs=0.1)
    assert another.mean_cosine.value == pytest.approx(another.null_mean_cosine, abs=0.05)
    assert itself.n_features == int((found.fired > 0).sum())


def test_the_same_seed_gives_the_same_finding(found, sae, make_sae, store, bridge, corpus) -> None:
    again = evaluate_dictionary(
        sae, store, model=bridge, corpus=corpus, n_tokens=400, n_spliced=300
    )
    np.testing.assert_array_equal(again.value[:, :8], found.value[:, :8])
    np.testing.assert_array_equal(again.fired, found.fired)


def test_a_finding_comes_back_from_disk(found, tmp_path: Path) -> None:
    path = found.save(tmp_path / "evaluation")
    loaded = DictionaryEvaluation.load(path)
    for name, value in vars(found).items():
        np.testing.assert_equal(getattr(loaded, name), value)
    (path / "data.safetensors").write_bytes(b"x")
    with pytest.raises(CorruptFile, match="checksum"):
        DictionaryEvaluation.load(path)


def test_text_of_a_strangers_dictionary_is_text(found) -> None:
    for text in HOSTILE:
        row = replace(found.contestants[0], title=text, note=text)
        shown = replace(found, contestants=(row, *found.contestants[1:]), statements=(text,))
        html = shown._repr_html_()
        assert "<script" not in html
        assert "<img" not in html
        assert "\n" not in "".join(shown.notes())
        assert "\x00" not in str(shown)


def test_the_n_beside_the_dictionary_is_its_own_and_another_stands_in_its_note(found) -> None:
    n = found.n.copy()
    n[1, found.measures.index("mse")] = 123_456
    n[1, found.measures.index("cosine")] = 123_456
    shown = replace(found, n=n)
    line = next(line for line in shown.table()[1] if line[0] == "MSE")
    assert line[1] == f"{found.counted('dictionary', 'mse'):,} rows"
    noted = [note for note in shown.notes() if "123,456" in note]
    assert len(noted) == 1
    assert noted[0].startswith("PCA")
    assert noted[0].endswith("; n 123,456 rows")


def test_a_finding_says_of_which_weights_it_is(found, sae, make_sae) -> None:
    assert found.dictionary["weights_sha256"] == weights_sha256(sae)
    assert found.dictionary["weights_sha256"] != weights_sha256(make_sae(7))


def test_where_ablation_costs_nothing_the_flags_that_may_help_are_named(sae, store, bridge) -> None:
    tokens = torch.arange(PAD + 4, PAD + 12)[:, None]
    for _ in range(LENGTH - 1):
        with torch.no_grad():
            unlikely = bridge(tokens)[:, -1, PAD + 4 :].argmin(-1) + PAD + 4
        tokens = torch.cat([tokens, unlikely[:, None]], 1)
    mistaken = Corpus.from_tokens(tokens.numpy(), d_vocab=D_VOCAB, name="what it holds unlikely")
    found = evaluate_dictionary(
        sae, store, model=bridge, corpus=mistaken, n_tokens=50, n_spliced=96, baselines=[]
    )
    said = [said for said in found.statements if "does not raise the loss" in said]
    assert len(said) == 2
    for flag in ("--packing document", "--last", 'predicted="last"'):
        assert flag in said[0]


def perfect(key: str, function) -> Contestant:
    def code(rows: torch.Tensor) -> Coded:
        return Coded(rows, function(rows))

    return Contestant(key=key, title=key, note="", code=code)


def test_a_perfect_copy_loses_nothing_and_the_mean_recovers_nothing(bridge, corpus, store) -> None:
    mean = torch.from_numpy(store.rows(SITE, 0, store.n_rows)).mean(0)
    contestants = [
        perfect("copy", torch.clone),
        perfect("mean", lambda rows: mean.expand_as(rows)),
        perfect("zero", torch.zeros_like),
    ]
    sums = spliced_losses(
        bridge, corpus, contestants, Sites(SITE, SITE), mean, n_tokens=200, specials=False,
        predicted="all", device=torch.device("cpu"),
    )  # fmt: skip
    copy, average, nothing = (
        bootstrap(sums[each.key].finish(), splicing_measures, rng=np.random.default_rng(0))
        for each in contestants
    )
    assert copy["kl_spliced"].value == 0
    assert copy["ce_spliced"] == copy["ce_clean"]
    assert average["ce_spliced"].value == pytest.approx(average["ce_mean"].value)
    assert nothing["kl_spliced"].value == pytest.approx(nothing["kl_zero"].value)


def test_only_the_last_token_counts_where_only_it_is_asked_for(bridge) -> None:
    corpus = corpus_of(9, bos=True, padded=True)
    n = {}
    for predicted in ("all", "last"):
        sums = spliced_losses(
            bridge, corpus, [perfect("copy", torch.clone)], Sites(SITE, SITE), torch.zeros(32),
            n_tokens=999, specials=False, predicted=predicted, device=torch.device("cpu"),
        )  # fmt: skip
        n[predicted] = sums["copy"].finish().column("rows").tolist()
    assert n == {"all": [7, 11, 11] * 3, "last": [1] * 9}


@pytest.mark.parametrize(("n_tokens", "read"), [(41, 41), (999, 96)])
def test_progress_counts_the_tokens_that_its_total_counts(bridge, n_tokens, read) -> None:
    corpus = corpus_of(9, bos=True, padded=True)
    steps: list[int] = []
    spliced_losses(
        bridge, corpus, [perfect("copy", torch.clone)], Sites(SITE, SITE), torch.zeros(32),
        n_tokens=n_tokens, specials=False, predicted="last", device=torch.device("cpu"),
        advance=steps.append,
    )  # fmt: skip
    assert sum(steps) == read


def test_special_tokens_are_replaced_only_where_asked_for(bridge) -> None:
    corpus = corpus_of(6, bos=True)
    _, cache = bridge.run_with_cache(torch.tensor([[BOS]]))
    bos_row = cache[SITE][0, 0]
    kl = {}
    for specials in (False, True):
        only_bos = perfect(
            "bos", lambda rows: rows * (rows - bos_row).abs().amax(-1, True).gt(1e-4)
        )
        sums = spliced_losses(
            bridge, corpus, [only_bos], Sites(SITE, SITE), torch.zeros(32),
            n_tokens=999, specials=specials, predicted="all", device=torch.device("cpu"),
        )  # fmt: skip
        kl[specials] = sums["bos"].finish().column("kl_spliced").sum()
    assert kl[False] == 0 < kl[True]


def test_a_transcoder_is_spliced_from_its_input_into_its_output(
    transcoder, store, bridge, corpus
) -> None:
    found = evaluate_dictionary(
        transcoder, store, model=bridge, corpus=corpus, n_tokens=400, n_spliced=150
    )
    assert [row.key for row in found.contestants] == [
        *("dictionary", "pca", "random", "randomised_model")
    ]
    assert any("neuron basis" in said for said in found.statements)
    rows = {
        site: torch.from_numpy(store.rows(site, 0, store.n_rows)) for site in (SITE_IN, SITE_OUT)
    }
    with torch.no_grad():
        error = (transcoder(rows[SITE_IN]) - rows[SITE_OUT]).square().sum()
    variance = (rows[SITE_OUT] - rows[SITE_OUT].mean(0)).square().sum()
    assert found["explained_variance"].value == pytest.approx(float(1 - error / variance), rel=0.1)
    batch = torch.from_numpy(next(corpus.batches(12)).tokens)
    kept: list[torch.Tensor] = []
    with torch.no_grad():
        clean = bridge(batch).log_softmax(-1)
        spliced = bridge.run_with_hooks(
            batch,
            fwd_hooks=[
                (SITE_IN, lambda value, hook: kept.append(value)),
                (SITE_OUT, lambda value, hook: transcoder(kept[-1])),
            ],
        ).log_softmax(-1)
    kl = (clean.exp() * (clean - spliced)).sum(-1)[:, :-1]
    n = found.counted("dictionary", "kl_spliced") // 11
    assert found["kl_spliced"].value == pytest.approx(float(kl[:n].mean()), rel=0.2)


def test_where_the_pca_of_its_rank_does_better_the_table_says_so(found) -> None:
    assert found.cell("pca", "explained_variance").value > found["explained_variance"].value
    assert any(said.startswith("PCA") and "more than" in said for said in found.statements)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"baselines": ["ica"]}, "no baseline 'ica'"),
        ({"corpus": corpus_of(4)}, "give both"),
        ({"n_tokens": 0}, "at least one row"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(sae, store, arguments, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        evaluate_dictionary(sae, store, **arguments)


def test_a_dictionary_of_another_model_is_refused_unless_forced(
    make_sae, store, corpus, tmp_path: Path
) -> None:
    stranger = make_sae()
    replace(DictionaryCard.of(stranger), model_hash="0" * 64).write_to(stranger)
    with pytest.raises(Mismatch, match="000000"):
        evaluate_dictionary(stranger, store)
    assert evaluate_dictionary(stranger, store, n_tokens=50, baselines=[], force=True).n_rows
    other = load(tiny_model_directory("gpt2", tmp_path / "other", seed=1))
    with pytest.raises(Mismatch, match="this is"):
        evaluate_dictionary(make_sae(), store, model=other, corpus=corpus)


def test_a_site_or_width_that_is_not_there_is_refused(make_sae, store, bridge, tmp_path) -> None:
    elsewhere = make_sae()
    replace(DictionaryCard.of(elsewhere), site="blocks.0.hook_resid_post").write_to(elsewhere)
    with pytest.raises(Mismatch, match="blocks.0.hook_resid_post"):
        evaluate_dictionary(elsewhere, store)
    site = "blocks.1.mlp.hook_post"
    wide = record(bridge, corpus_of(4), [site], tmp_path / "wide", max_tokens=99)
    replace(DictionaryCard.of(elsewhere), site=site).write_to(elsewhere)
    with pytest.raises(Mismatch, match="of width 32"):
        evaluate_dictionary(elsewhere, wide, force=True)


def test_others_of_another_width_are_refused_before_anything_is_measured(
    sae, store, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow = StandardSAE(StandardSAEConfig(d_in=8, d_sae=16))
    with pytest.raises(Mismatch, match="narrow has features of width 8, the dictionary of 32"):
        evaluate_dictionary(sae, store, others={"narrow": narrow})
    assert "rows" not in capsys.readouterr().err
