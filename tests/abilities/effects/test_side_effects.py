"""What an edit did beside its purpose, with effects planted that the report must find."""

import json
from collections.abc import Sequence
from dataclasses import replace
from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from interp.abilities.effects.answer_language import language_of, own_words, wrong_languages
from interp.abilities.effects.harm import harm_index, harms_of, target_cells
from interp.abilities.effects.side_effect_measurement import side_effects
from interp.abilities.effects.side_effects import SideEffects
from interp.abilities.effects.text_effect import divergence
from interp.abilities.effects.weight_change import weight_change
from interp.evaluation.answers import Answers
from interp.evaluation.evaluate import evaluation_of
from interp.evaluation.evaluation import Evaluation
from interp.evaluation.items import Item
from interp.evaluation.protocol import Protocol
from interp.results.errors import BadInput, CorruptFile, Mismatch
from interp.results.provenance import Provenance
from tests.abilities.checkpoints import near, random_tensors, write_model
from tests.abilities.learning import small_llama

NOTHING = Provenance.collect("test", model_hash=None, corpus_hash=None, seed=0, settings={})
LANGUAGES = ("A", "B", "D")


def some_items(n: int = 40) -> list[Item]:
    return [
        Item(id=f"{task}-{language}-{i}", prompt=f"w{i % 28 + 4} w{i // 28 + 4}",
             answer=f"{language.lower()}{i % 4}", task=task, language=language, split="test")
        for task in ("ability", "general") for language in LANGUAGES for i in range(n)
    ]  # fmt: skip


def evaluation(
    *correct: np.ndarray, said: Sequence[tuple[str, ...]] | None = None, n: int = 40
) -> Evaluation:
    items = some_items(n)
    unknown = np.full(len(items), np.nan)
    answers = [
        Answers(correct=right, said=said[row] if said else ("",) * len(items),
                truncated=np.zeros(len(items), dtype=bool), margin=unknown,
                margin_per_byte=unknown)
        for row, right in enumerate(correct)
    ]  # fmt: skip
    return evaluation_of(
        models=["base", *(f"edit {number}" for number in range(1, len(correct)))],
        answers=answers,
        items=items,
        protocol=Protocol(),
        seed=0,
        provenance=NOTHING,
    )


def right(share: float, *, n: int = 40, **cells: float) -> np.ndarray:
    """The first share of every cell's items is right; cells named `task_LANGUAGE` differ."""
    parts = [
        np.arange(n) < round(cells.get(f"{task}_{language}", share) * n)
        for task in ("ability", "general")
        for language in LANGUAGES
    ]
    return np.concatenate(parts)


def harm(base: np.ndarray, edited: np.ndarray, targets: Sequence[str] = ()):
    (found,) = harms_of(
        evaluation(base, edited), targets=targets, rng=np.random.default_rng(0), exchanges=2000
    )
    return found


def test_a_broken_language_is_the_worst_cell_and_its_harm_is_not_chance() -> None:
    found = harm(right(0.9), right(0.9, general_B=0.3), targets=("ability/D",))
    assert found.worst == "general/B"
    assert found.index == pytest.approx(0.6 / 5)
    assert found.p == pytest.approx(1 / 2001)
    assert found.null < found.null_high < found.index
    assert (found.n_cells, found.n_items) == (5, 200)


def test_what_the_target_loses_is_no_harm_and_what_another_cell_gains_pays_for_nothing() -> None:
    assert harm(right(0.9), right(0.9, ability_D=0.1), targets=("ability/D",)).index == 0.0
    mixed = harm(right(0.5), right(0.5, general_A=1.0, general_B=0.4))
    assert mixed.index == pytest.approx(0.1 / 6)


def test_a_loss_is_found_beside_a_gain_that_would_drown_it() -> None:
    # Exchanged at random, the 36 items of 40 that were gained lose about as much as B truly did.
    found = harm(right(0.9, ability_A=0.0), right(0.9, ability_A=0.9, general_B=0.7))
    assert found.p_any < 0.02 and found.p > 0.1


def test_an_edit_without_effect_has_no_harm_and_p_1() -> None:
    found = harm(right(0.6), right(0.6))
    assert (found.index, found.null, found.p, found.p_any) == (0.0, 0.0, 1.0, 1.0)


def test_of_two_equally_good_models_the_p_is_uniform_enough() -> None:
    rng = np.random.default_rng(0)
    table = evaluation(right(0.5), right(0.5))
    values = []
    for _ in range(300):
        drawn = replace(table, correct=rng.random((2, 240)) < 0.6)
        (found,) = harms_of(drawn, targets=(), rng=rng, exchanges=200)
        values.append((found.p, found.p_any))
    assert np.all(np.abs(np.mean(np.array(values) < 0.05, axis=0) - 0.05) <= 0.03)
    assert np.all(np.abs(np.mean(values, axis=0) - 0.5) <= 0.05)


def test_exchanging_by_binomial_is_exchanging_item_by_item() -> None:
    rng = np.random.default_rng(0)
    base, edited = right(0.8), right(0.8, general_A=0.5, ability_B=0.9)
    found = harm(base, edited)
    cells = np.repeat(np.arange(6), 40)
    indices = []
    for _ in range(2000):
        change = rng.random(240) < 0.5
        one, other = np.where(change, edited, base), np.where(change, base, edited)
        lost = [other[cells == c].mean() - one[cells == c].mean() for c in range(6)]
        indices.append(float(harm_index(np.array([lost]))[0]))
    # E|2K - m| = m C(m, m/2) / 2^m of the 12 and 4 items that differ, half of it a loss.
    exact = (12 * comb(12, 6) / 2**12 + 4 * comb(4, 2) / 2**4) / 2 / 40 / 6
    assert found.null == pytest.approx(exact, rel=0.08)
    assert np.mean(indices) == pytest.approx(exact, rel=0.08)
    assert found.null_high == pytest.approx(np.quantile(indices, 0.95), rel=0.15)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=9))
def test_the_index_is_the_mean_loss(differences: list[float]) -> None:
    assert harm_index(np.array([differences]))[0] == pytest.approx(
        sum(-d for d in differences if d < 0) / len(differences)
    )


def test_a_target_that_nobody_is_asked_in_is_named() -> None:
    cells = evaluation(right(0.5), right(0.5)).cells
    assert target_cells(cells, ability_task="ability", targets=("D",)) == ("ability/D",)
    with pytest.raises(BadInput, match="'ability/E'.*ability/A"):
        target_cells(cells, ability_task="ability", targets=("E",))
    with pytest.raises(BadInput, match="every item is of the target"):
        target_cells(cells[:3], ability_task="ability", targets=LANGUAGES)


def test_answers_in_another_language_are_counted_and_doubtful_ones_are_not() -> None:
    items = some_items()
    own = tuple(item.answer for item in items)
    # Of 240 answers ten are in the wrong language, and five in a word that nobody knows.
    swapped = ("b0",) * 10 + ("???", "12", "x", "", "zz") + own[15:]
    table = evaluation(right(1.0), right(1.0), said=[own, swapped])
    (base, edited), notes = wrong_languages(table, items)
    assert base.wrong.value == 0.0 and base.n_decided == 240
    assert edited.wrong.value == pytest.approx(10 / 235)
    assert edited.n_undecided == 5
    assert notes == ()


def test_words_of_two_languages_or_without_a_letter_tell_no_language() -> None:
    items = [
        replace(some_items()[0], id=language, language=language, answer=answer)
        for language, answer in (("A", "no 12"), ("B", "no nein"), ("D", "no 7"))
    ]
    own = own_words(items)
    assert own == {"A": frozenset(), "B": {"nein"}, "D": frozenset()}
    assert language_of("nein", "A", own) == "other"
    assert language_of("no 7", "A", own) == "unknown"
    assert language_of("NEIN no", "B", own) == "own"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("A", "x", ())], "the items are of one language"),
        ([("A", "7", ()), ("B", "7", ())], "no two languages have words of their own"),
    ],
)
def test_where_the_language_cannot_be_told_the_report_says_so(rows: list, said: str) -> None:
    items = [
        replace(some_items()[0], id=str(i), language=language, answer=answer, choices=choices)
        for i, (language, answer, choices) in enumerate(rows)
    ]
    table = evaluation(right(1.0), right(1.0))
    assert said in wrong_languages(table, items)[1][0]


def test_choices_in_ones_own_language_leave_no_wrong_language_to_take() -> None:
    items = [replace(item, choices=(item.answer, f"{item.language}-x")) for item in some_items()]
    table = replace(evaluation(right(1.0), right(1.0)), protocol=Protocol(rule="choice"))
    assert "choices are in its own language" in wrong_languages(table, items)[1][0]


def test_kl_is_that_of_torch_and_exactly_0_for_equal_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    base, edited = (torch.randn(2, 3, 7, generator=generator) for _ in range(2))
    target = torch.tensor([[0, 1, 2], [3, 4, 5]])
    kl, nats_base, nats_edited = divergence(base, edited, target)
    p, q = base.log_softmax(-1), edited.log_softmax(-1)
    theirs = torch.nn.functional.kl_div(q, p, reduction="none", log_target=True).sum(-1)
    torch.testing.assert_close(kl.float(), theirs)
    torch.testing.assert_close(
        nats_edited.float(),
        torch.nn.functional.cross_entropy(edited.flatten(0, 1), target.flatten(), reduction="none")
        .view(2, 3),
    )  # fmt: skip
    same = divergence(base, base.clone(), target)
    assert (same.kl == 0).all() and torch.equal(same.nats_base, nats_base)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_weight_change_is_that_of_the_tensors_in_memory(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    base = random_tensors(0, dtype)
    edited = near(base, 1)
    one = write_model(tmp_path / "base", base)
    two = write_model(tmp_path / "edited", edited, shards=3)
    change = weight_change(one, two, name="edit", chunk=7)
    flat = torch.cat([(edited[n].double() - base[n].double()).flatten() for n in base])
    assert change.norm == pytest.approx(flat.norm().item(), rel=1e-12)
    assert change.n_changed == int((flat != 0).sum()) < change.n_entries == flat.numel()
    of_base = torch.cat([t.double().flatten() for t in base.values()]).norm().item()
    assert change.relative_norm == pytest.approx(change.norm / of_base)


def test_zeros_of_either_sign_are_one_value(tmp_path: Path) -> None:
    base = {"w": torch.tensor([0.0, 1.0])}
    one = write_model(tmp_path / "base", base)
    two = write_model(tmp_path / "edited", {"w": torch.tensor([-0.0, 1.0])})
    assert weight_change(one, two, name="edit").n_changed == 0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, an edit of its output head, items whose answers are the base's own, and a text."""
    place = tmp_path_factory.mktemp("side-effects")
    base = small_llama(place / "base")
    edited = small_llama(place / "edited")
    file = edited / "model.safetensors"
    tensors = load_file(file)
    # Tokens 4 to 11 are never said any more: the language that answers with them is broken.
    tensors["lm_head.weight"][4:12] = 0.0
    save_file(tensors, file, {"format": "pt"})
    (place / "text.txt").write_text("w4 w5 w6 w7 w8\nw9 w10 w11\nw12 w13 w14 w15\nw9\n")
    _write_own_answers(place / "items.jsonl", base)
    return place


def _write_own_answers(path: Path, base: Path) -> None:
    """Items that the base gets right: language X answers with tokens 4 to 11, Y with others."""
    from interp.models.trainable import read_decoder

    model = read_decoder(base)
    prompts = torch.cartesian_prod(torch.arange(4, 32), torch.arange(4, 32))
    with torch.no_grad():
        said = model(input_ids=prompts).logits[:, -1].argmax(-1)
    rows = [
        {"id": f"i{n}", "prompt": f"w{a} w{b}", "answer": f"w{s}", "task": "words",
         "language": "X" if s < 12 else "Y", "split": "test"}
        for n, ((a, b), s) in enumerate(zip(prompts.tolist(), said.tolist(), strict=True))
        if s >= 4
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def report(place: Path) -> SideEffects:
    return side_effects(
        str(place / "base"),
        [str(place / "edited"), str(place / "base")],
        [place / "items.jsonl"],
        text=place / "text.txt",
    )


def test_a_language_broken_in_the_weights_is_found_by_name(report: SideEffects) -> None:
    broken, _ = report.harms
    assert broken.worst == "words/X"
    assert report.effect(broken.model, report.cell("words/X")).difference.value == -1.0
    assert report.effect(broken.model, report.cell("words/Y")).difference.value == 0.0
    assert broken.index == 0.5 and broken.p < 0.001
    assert [loss.column for loss in report.losses(broken.model)] == ["words/X"]
    assert report.effect(broken.model, report.cell("words/X")).p_holm < 1e-6


def test_its_answers_come_in_the_other_language(report: SideEffects) -> None:
    base, broken, _ = report.languages
    in_x = report.cell("words/X").n
    assert base.wrong.value == 0.0
    # Every answer of X is now a word of Y, or one that no item answers with.
    assert broken.n_decided + broken.n_undecided == len(report.evaluation.questions)
    assert broken.wrong.value * broken.n_decided + broken.n_undecided == pytest.approx(in_x)


def test_an_unedited_model_has_no_side_effect_at_all(report: SideEffects) -> None:
    _, none = report.harms
    assert (none.index, none.p) == (0.0, 1.0)
    assert report.texts[1].kl == (0.0, 0.0, 0.0)
    assert report.texts[1].bits_per_byte_change == (0.0, 0.0, 0.0)
    assert (report.weights[1].norm, report.weights[1].n_changed) == (0.0, 0)


def test_text_is_read_as_one_document_a_line_and_the_first_token_is_given(
    report: SideEffects, place: Path
) -> None:
    effect = report.texts[0]
    # 5, 3 and 4 tokens; the line of one token predicts nothing.
    assert (effect.n_sequences, effect.n_tokens) == (3, 4 + 2 + 3)
    np.testing.assert_array_equal(report.by_sequence["n_bytes"][0], [11, 7, 11])
    assert effect.kl.value > 0 and effect.kl.low <= effect.kl.value <= effect.kl.high
    nats = report.by_sequence["nats_edited"][0]
    assert effect.bits_per_byte == pytest.approx(nats.sum() / np.log(2) / 29)


def test_text_measures_do_not_depend_on_the_batch(place: Path, report: SideEffects) -> None:
    again = side_effects(
        str(place / "base"),
        [str(place / "edited")],
        [place / "items.jsonl"],
        text=place / "text.txt",
        batch_size=16,
    )
    np.testing.assert_allclose(again.by_sequence["kl"][0], report.by_sequence["kl"][0], rtol=1e-5)


def test_the_weight_change_counts_the_edited_rows(report: SideEffects) -> None:
    assert report.weights[0].n_changed == 8 * 16


def test_saved_and_loaded_it_is_the_same(report: SideEffects, tmp_path: Path) -> None:
    again = SideEffects.load(report.save(tmp_path / "report"))
    assert again.to_json() == report.to_json()
    assert again.text_table() == report.text_table()
    assert again.harms == report.harms and again.texts == report.texts
    np.testing.assert_array_equal(again.by_sequence["kl"], report.by_sequence["kl"])
    json.dumps(report.to_json(), allow_nan=False)


def test_half_a_report_is_corrupt(report: SideEffects, tmp_path: Path) -> None:
    path = report.save(tmp_path / "report")
    header = json.loads((path / "header.json").read_text())
    del header["harms"][0]["null"]
    (path / "header.json").write_text(json.dumps(header))
    with pytest.raises(CorruptFile, match="not a whole report"):
        SideEffects.load(path)


def test_the_table_names_the_worst_cell_and_the_null(report: SideEffects) -> None:
    text = report.text_table()
    assert "Losses that hold: words/X -1.000" in text
    assert "by exchange" in text and "Losses that hold: none" in text


def test_another_tokenizer_is_refused_where_text_is_to_be_compared(
    place: Path, tmp_path: Path
) -> None:
    other = small_llama(tmp_path / "other", vocab_size=40)
    with pytest.raises(Mismatch, match="another tokenizer"):
        side_effects(
            str(place / "base"), [str(other)], [place / "items.jsonl"], text=place / "text.txt"
        )
    without = side_effects(str(place / "base"), [str(other)], [place / "items.jsonl"])
    assert without.weights == () and "not compared" in without.notes[0]
    assert without.texts == () and without.by_sequence == {}
    assert SideEffects.load(without.save(tmp_path / "report")).to_json() == without.to_json()


def test_a_report_without_an_edit_is_refused(place: Path) -> None:
    with pytest.raises(BadInput, match="no edited model"):
        side_effects(str(place / "base"), [], [place / "items.jsonl"])
