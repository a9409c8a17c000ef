"""The three levels: models whose level is known, a series on disk, and the finding on disk."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from interp.corpus.corpus import Corpus, SpecialTokens
from interp.heads.icl import LevelCurves, measure_levels
from interp.heads.icl.asking import ask, legal_logits
from interp.heads.icl.loss_reduction import scaled_windows, whole_sequences, window_losses
from interp.heads.icl.prompts import Condition, make_prompts
from interp.heads.icl.run import asked_tasks
from interp.heads.icl.tasks import open_tasks
from interp.models.tokenizer import load_tokenizer
from interp.results.errors import BadInput, CorruptFile, Mismatch
from tests.heads.icl.making import SaysLabelOfSameKind, SaysLastLabel, content
from tests.models import tiny_model, tiny_model_directory, write_tokenizer

SHOTS = (0, 2, 8)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory):
    directory = tmp_path_factory.mktemp("words")
    write_tokenizer(directory, adds_bos=True)
    tasks = content()["tasks"][:2]
    return make_prompts(
        open_tasks(content(tasks=tasks)), load_tokenizer(directory), d_vocab=64, shots=SHOTS,
        n_prompts=100,
    )  # fmt: skip


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints of a random model, and what is asked of them."""
    root = tmp_path_factory.mktemp("series")
    for step in (5, 10):
        tiny_model_directory("llama", root / f"step-{step}", seed=step, adds_bos=True)
    (root / "tasks.json").write_text(json.dumps(content()))
    rng = np.random.default_rng(0)
    lines = (" ".join(f"w{i}" for i in rng.integers(4, 64, size=70)) for _ in range(6))
    (root / "text.txt").write_text("\n\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def curves(series: Path) -> LevelCurves:
    return measure_levels(
        str(series), series / "tasks.json", text=series / "text.txt", shots=(0, 3), n_prompts=10,
        packing="pack",
    )  # fmt: skip


def test_a_model_that_repeats_a_label_keeps_the_format_and_misses_the_pattern(prompts) -> None:
    own, shuffled = ask(SaysLastLabel(), prompts)
    assert own.format[:, 0].mean() == 0
    assert own.format[:, 1:].all() and shuffled.format[:, 1:].all()
    assert own.pattern[0, 2].mean() == pytest.approx(0.5, abs=0.15)
    assert own.pattern[1, 2].mean() == pytest.approx(0.25, abs=0.15)


def test_a_model_that_reads_the_rule_is_right_until_the_labels_are_shuffled(prompts) -> None:
    own, shuffled = ask(SaysLabelOfSameKind(), prompts)
    assert own.pattern[:, 2].all() and own.legal[:, 2].all()
    assert shuffled.format[:, 2].all()
    assert shuffled.pattern[0, 2].mean() == pytest.approx(0.5, abs=0.15)
    assert shuffled.pattern[1, 2].mean() == pytest.approx(0.25, abs=0.15)
    # Logit 4 for the right label, 0 for the other 63 tokens.
    right = 4 - np.log(np.exp(4) + 63)
    assert own.gold_log_probability[:, 2] == pytest.approx(right, abs=1e-5)
    assert own.margin[:, 2] == pytest.approx(4, abs=1e-5)
    legal = (np.exp(4) + np.array([1, 3])) / (np.exp(4) + 63)
    assert own.legal_mass[:, 2].mean(axis=1) == pytest.approx(legal, abs=1e-5)


def test_answers_do_not_depend_on_what_else_is_asked(prompts) -> None:
    model = tiny_model("gpt2")
    whole, _ = ask(model, prompts)
    one = Condition(task=1, shots=1, shuffled=False)
    alone, _ = ask(model, prompts, conditions=[one])
    assert np.array_equal(alone.margin[1, 1], whole.margin[1, 1])
    assert np.isnan(alone.margin[0]).all()
    with torch.no_grad():
        row = torch.from_numpy(prompts.ids[one][7])[None]
        logits = model(row).logits[0, -1]
    labels = list(prompts.tasks[1].label_tokens)
    assert legal_logits(model, prompts, one)[7] == pytest.approx(logits[labels].numpy(), abs=1e-5)
    log_p = logits.log_softmax(-1)[labels]
    assert whole.gold_log_probability[1, 1, 7] == pytest.approx(
        log_p[prompts.gold[1, 7]].item(), abs=1e-5
    )
    assert whole.legal_mass[1, 1, 7] == pytest.approx(log_p.exp().sum().item(), abs=1e-6)


def test_windows_are_the_papers_where_they_fit_and_scaled_where_not() -> None:
    assert scaled_windows(500) == scaled_windows(2000) == ((50, 50), (50, 450))
    assert scaled_windows(127) == ((12, 12), (12, 114))
    assert scaled_windows(5) == ((1, 1), (1, 4))


def test_repeated_text_is_learned_from_context_and_a_foreign_beginning_takes_that_away() -> None:
    class Copies(torch.nn.Module):
        """Says the token half a sequence back, where there is one."""

        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(5.0))

        def forward(self, input_ids, use_cache=False):
            said = torch.roll(input_ids, 19, dims=1)
            logits = torch.zeros(*input_ids.shape, 64)
            logits.scatter_(2, said[..., None], self.scale.item())
            logits[:, :19] = 0
            return type("Output", (), {"logits": logits})

    rng = np.random.default_rng(0)
    tokens = np.tile(rng.integers(4, 64, size=(9, 20)), (1, 2))
    ((early, late, foreign),) = window_losses(Copies(), tokens, ((10, 20),))
    assert early == pytest.approx(np.log(64))
    assert late == pytest.approx(np.log(np.exp(5) + 63) - 5)
    assert (foreign > early).all()


def test_the_loss_of_a_window_is_that_of_its_tokens_alone() -> None:
    model = tiny_model("neox")
    tokens = np.random.default_rng(0).integers(4, 64, size=(3, 20))
    found = window_losses(model, tokens, ((4, 10),))
    with torch.no_grad():
        log_p = model(torch.from_numpy(tokens)).logits.log_softmax(-1)
    for s in range(3):
        by_hand = [-log_p[s, t - 1, tokens[s, t]].item() for t in range(1, 20)]
        assert found[0, 0, s] == pytest.approx(np.mean(by_hand[:4]), abs=1e-5)
        assert found[0, 1, s] == pytest.approx(np.mean(by_hand[10:14]), abs=1e-5)


def test_documents_that_are_too_short_are_passed_over() -> None:
    special = SpecialTokens(bos_id=None, eos_id=None, pad_id=None, special_ids=())
    full = Corpus.from_tokens(np.arange(30).reshape(3, 10), name="full", special_tokens=special)
    assert whole_sequences(full, 2).shape == (2, 10)
    one = Corpus.from_tokens(np.arange(10).reshape(1, 10), name="one", special_tokens=special)
    with pytest.raises(BadInput, match="one has 1 documents of 10 tokens"):
        whole_sequences(one, 2)


def test_a_series_is_asked_the_same_and_each_answers_for_itself(
    series: Path, curves: LevelCurves
) -> None:
    assert curves.steps == (5, 10)
    assert curves.said.format.shape == (2, 3, 2, 12)
    assert curves.loss.shape == (2, 2, 3, 6)
    alone = measure_levels(f"{series}@10", series / "tasks.json", shots=(0, 3), n_prompts=10)
    assert alone.steps == (10,)
    assert alone.windows == () and alone.loss.size == 0
    assert np.array_equal(alone.said.margin[0], curves.said.margin[1])
    assert curves.model_hashes[0] != curves.model_hashes[1] == alone.model_hashes[0]


def test_a_finding_comes_back_as_it_was(curves: LevelCurves, tmp_path: Path) -> None:
    curves.save(tmp_path / "levels")
    back = LevelCurves.load(tmp_path / "levels")
    assert back.to_json() == curves.to_json()
    assert str(back) == str(curves)
    assert np.array_equal(back.said.pattern, curves.said.pattern)
    assert json.loads(json.dumps(back.to_json(), allow_nan=False))["shots"] == [0, 3]
    assert "<table>" in back._repr_html_()
    header = tmp_path / "levels" / "header.json"
    header.write_text(header.read_text().replace('"shots"', '"shot"'))
    with pytest.raises(CorruptFile, match="shots"):
        LevelCurves.load(tmp_path / "levels")


def test_changes_are_mcnemar_on_the_same_prompts_with_holm(curves: LevelCurves) -> None:
    pattern = np.zeros_like(curves.said.pattern)
    pattern[1, 0, 1] = True
    made = replace(curves, said=curves.said._replace(pattern=pattern))
    first, *others = made.changes("pattern")
    assert (first.task, first.only_before, first.only_after) == ("order", 0, 12)
    assert first.p == pytest.approx(2 * 0.5**12)
    assert first.p_holm == pytest.approx(3 * first.p)
    assert all(change.p_holm == 1 for change in others)
    assert made.least_shots()[1, 0] == 3
    assert np.isnan(made.least_shots()[0]).all()


def test_the_rate_of_sampled_success_is_never_nothing(curves: LevelCurves) -> None:
    assert (curves.success() > 0).all()
    assert curves.success() == pytest.approx(1 / 64, abs=0.05)


def test_the_notes_say_where_words_fell_short(curves: LevelCurves) -> None:
    assert any("6 words of bound, pairs are one token (6 given)" in n for n in curves.notes())
    assert curves.tasks[1].chance == curves.tasks[1].majority == 0.25


def test_levels_without_an_axis_in_common_are_refused(curves: LevelCurves) -> None:
    with pytest.raises(BadInput, match="do not fit"):
        replace(curves, shots=(0,))


def test_baselines_come_from_the_prompts(prompts) -> None:
    order, grid = asked_tasks(prompts)
    assert (order.chance, order.majority, order.format_chance) == (0.5, 0.5, 2 / 64)
    assert (grid.chance, grid.format_chance) == (0.25, 4 / 64)


def test_a_step_that_is_not_there_and_another_tokenizer_are_refused(
    series: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="has no step 7: it has 5, 10"):
        measure_levels(str(series), steps=[7])
    for step, bos in ((1, True), (2, False)):
        tiny_model_directory("llama", tmp_path / f"step-{step}", adds_bos=bos)
    with pytest.raises(Mismatch, match="step 2 has another tokenizer than step 1"):
        measure_levels(str(tmp_path), series / "tasks.json")


def test_the_english_words_are_refused_by_a_vocabulary_without_them(series: Path) -> None:
    with pytest.raises(BadInput, match="of the 24 words of fruit, first, 0 are one token"):
        measure_levels(f"{series}@5")
