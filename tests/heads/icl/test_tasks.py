"""Tasks, their words and their prompts."""

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from interp.heads.icl.prompts import Condition, make_prompts
from interp.heads.icl.spelling import format_tokens, spell
from interp.heads.icl.tasks import open_tasks
from interp.models.tokenizer import load_tokenizer
from interp.results.errors import BadInput
from tests.heads.icl.making import LABELS, content
from tests.models import write_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    directory = tmp_path_factory.mktemp("words")
    write_tokenizer(directory, adds_bos=True)
    return load_tokenizer(directory)


@pytest.fixture(scope="module")
def english_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE in which the words of a line are whole, with and without a blank."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[attr-defined]
    bpe.decoder = decoders.ByteLevel()  # type: ignore[attr-defined]
    words = [w for ws in open_tasks().categories.values() for w in ws if w != "coconut"]
    lines = [f"{a}, {b}: {n}" for a, b in zip(words, words[1:], strict=False) for n in (0, 1, 23)]
    trainer = trainers.BpeTrainer(
        vocab_size=4000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator(["\n".join(lines)] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe)


def decoded(tokenizer, prompts, condition: Condition) -> list[list[str]]:
    rows = [tokenizer.decode(row).split() for row in prompts.ids[condition]]
    return [[w for w in row if w != "<bos>"] for row in rows]


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "tasks.json"
    file.write_text(json.dumps(open_tasks(content()).to_json()))
    assert open_tasks(file) == open_tasks(content())
    assert open_tasks(file).hash == open_tasks(content()).hash != open_tasks().hash


def test_the_english_tasks_are_those_of_the_paper() -> None:
    tasks = {task.name: task for task in open_tasks().tasks}
    assert [task.kind for task in tasks.values()].count("justification") == 4
    assert tasks["nine_fruit_animal_month"].labels == tuple("012345678")
    rules = {(r.first, r.second): r.label for r in tasks["four_fruit_month"].rules}
    assert rules == {("fruit", "fruit"): "0", ("fruit", "month"): "1",
                     ("month", "fruit"): "2", ("month", "month"): "3"}  # fmt: skip
    form = open_tasks().form
    assert form.demonstration("apple", "January", "0") == "apple, January: 0"
    assert form.question("apple", "January") + form.answer("0") == "apple, January: 0"
    assert all(len(words) >= 12 for words in open_tasks().categories.values())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"line": "{first} {label}"}, "needs {first} and {second}"),
        ({"line": "{label} {first} {second}"}, "after them"),
        ({"tasks": []}, "needs tasks"),
        ({"tasks": [{"name": "a", "rules": [["one", "nothing", "w60"]]}]}, r"the rule \['one'"),
        ({"tasks": [{"name": "a", "rules": [["bound", "w60"]]}]}, "1 labels"),
        ({"schema": "other/1"}, "expected 'interp.icl-tasks/1'"),
        ({"categories": {"one": "w4"}}, "category 'one' must be a list"),
        ({"pairs": {"bound": [["w4"]]}}, "two words each"),
    ],
)
def test_a_file_that_is_none_names_what_is_wrong(changes: dict, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        open_tasks(content(**changes))


def test_prompts_show_every_class_and_never_the_question(tokenizer) -> None:
    prompts = make_prompts(
        open_tasks(content()), tokenizer, d_vocab=64, shots=(0, 3, 8), n_prompts=40
    )
    assert prompts.n_prompts == 40
    kind = {word: i >= 14 for i, word in enumerate(f"w{i}" for i in range(4, 32))}
    for row, gold in zip(decoded(tokenizer, prompts, Condition(task=1, shots=2, shuffled=False)),
                         prompts.gold[1], strict=True):  # fmt: skip
        lines = [line.split() for line in " ".join(row).split(" w52 ")]
        *shown, asked = lines
        assert len(shown) == 8
        assert {line[4] for line in shown} == set(LABELS)
        assert all((line[0], line[2]) != (asked[0], asked[2]) for line in shown)
        for line in shown:
            assert line[4] == LABELS[2 * kind[line[0]] + kind[line[2]]]
        assert gold == 2 * kind[asked[0]] + kind[asked[2]]
    assert np.bincount(prompts.gold[1]).tolist() == [10] * 4


def test_fewer_lines_than_classes_show_different_ones(tokenizer) -> None:
    prompts = make_prompts(open_tasks(content()), tokenizer, d_vocab=64, shots=(3,), n_prompts=20)
    for row in decoded(tokenizer, prompts, Condition(task=1, shots=0, shuffled=False)):
        labels = [word for word in row if word in LABELS]
        assert len(set(labels)) == 3


def test_shuffled_prompts_differ_in_labels_alone_and_those_say_nothing(tokenizer) -> None:
    prompts = make_prompts(open_tasks(content()), tokenizer, d_vocab=64, shots=(8,), n_prompts=200)
    own = decoded(tokenizer, prompts, Condition(task=1, shots=0, shuffled=False))
    other = decoded(tokenizer, prompts, Condition(task=1, shots=0, shuffled=True))
    pairs = [(a, b) for x, y in zip(own, other, strict=True) for a, b in zip(x, y, strict=True)]
    assert all(a == b for a, b in pairs if a not in LABELS)
    same = [a == b for a, b in pairs if a in LABELS]
    assert np.mean(same) == pytest.approx(0.25, abs=0.05)


def test_the_same_seed_gives_the_same_prompts_and_the_question_is_one_for_every_k(
    tokenizer,
) -> None:
    def made(seed: int, shots: tuple[int, ...]):
        return make_prompts(
            open_tasks(content()), tokenizer, d_vocab=64, shots=shots, n_prompts=12, seed=seed
        )

    assert made(0, (0, 2)).hash == made(0, (2, 0)).hash != made(1, (0, 2)).hash
    both = made(0, (0, 2))
    for task in range(3):
        none, two = (
            decoded(tokenizer, both, Condition(task=task, shots=k, shuffled=False)) for k in (0, 1)
        )
        assert [row[-4:] for row in two] == none
    # A condition does not depend on what else is asked.
    alone = made(0, (2,)).ids[Condition(task=1, shots=0, shuffled=False)]
    beside = both.ids[Condition(task=1, shots=1, shuffled=False)]
    assert all((a == b).all() for a, b in zip(alone, beside, strict=True))


def test_words_of_several_tokens_are_left_out_and_counted(english_tokenizer) -> None:
    tasks = open_tasks()
    order = next(task for task in spell_some(tasks, english_tokenizer, "binary_fruit_month"))
    assert order.n_given["fruit, first"] == 24
    assert "coconut" not in order.rules[0].firsts
    assert order.n_words["fruit, first"] == len(order.rules[0].firsts) >= 12
    for word in order.rules[0].firsts:
        ids = english_tokenizer(f"x, May: 0\n{word}, May: 0").input_ids
        assert [english_tokenizer.decode([i]) for i in ids].count(word) == 1


def spell_some(tasks, tokenizer, *names: str):
    some = [entry for entry in tasks.to_json()["tasks"] if entry["name"] in names]
    return spell(open_tasks({**tasks.to_json(), "tasks": some}), tokenizer)


def test_any_number_is_in_the_format_where_labels_are_numbers(english_tokenizer) -> None:
    (task,) = spell_some(open_tasks(), english_tokenizer, "binary_fruit_month")
    allowed = format_tokens(task, english_tokenizer, len(english_tokenizer) + 5)
    texts = [english_tokenizer.decode([i]).strip() for i in np.flatnonzero(allowed)]
    assert {"0", "1", "23"} <= set(texts)
    assert all(text.isdigit() for text in texts)
    assert not allowed[-5:].any()


def test_too_few_words_of_one_token_are_refused_by_name(tokenizer) -> None:
    few = content()
    few["categories"]["one"] = ["w4", "w5", "w6"]
    with pytest.raises(BadInput, match="task order: of the 3 words of one, first, 3 are one token"):
        spell(open_tasks(few), tokenizer)
    few["categories"]["one"] += ["unheard", "of", "here"]
    with pytest.raises(BadInput, match="task order: of the 6 words of one, first, 3 are one token"):
        spell(open_tasks(few), tokenizer)


def test_labels_that_are_not_one_token_are_refused(tokenizer, english_tokenizer) -> None:
    task = {"name": "odd", "rules": [["one", "other", "w60 w61"], ["other", "one", "w62"]]}
    with pytest.raises(BadInput, match="are not one token each"):
        spell(open_tasks(content(tasks=[task])), tokenizer)
    unknown = {"name": "odd", "rules": [["one", "other", "yes"], ["other", "one", "no"]]}
    with pytest.raises(BadInput, match="are not one token each"):
        spell(open_tasks(content(tasks=[unknown])), tokenizer)


def test_a_prompt_beyond_the_context_says_which_and_what_fits(tokenizer) -> None:
    with pytest.raises(BadInput, match=r"8 lines of order take 53 tokens .* 30: .*--shots 0,2"):
        make_prompts(
            open_tasks(content()), tokenizer, d_vocab=64, shots=(0, 2, 8), n_prompts=4, context=30
        )
