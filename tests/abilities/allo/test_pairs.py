"""Preference pairs: what a file says, token by token, and what is refused by its line."""

import json
from pathlib import Path

import pytest
import torch

from interp.abilities.allo.pairs import PreferencePair, encode_pairs, read_pairs
from interp.models.trainable import read_trainable
from interp.results.errors import BadInput
from tests.abilities.allo.preferences import some_pairs, write_pairs
from tests.abilities.learning import small_llama

GOOD = {"prompt": "w5 w6", "chosen": "w7", "rejected": "w8 w9"}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    return read_trainable(small_llama(tmp_path_factory.mktemp("m") / "base")).tokenizer()


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_gives_its_pairs_back(tmp_path: Path) -> None:
    assert read_pairs(write_pairs(tmp_path / "pairs.jsonl")) == some_pairs()


def test_answers_follow_the_prompt_and_weights_lie_on_the_rejected_tokens(tokenizer) -> None:
    pairs = [
        PreferencePair(
            prompt="w5 w6", chosen="w7", rejected="w8 w9 w10", rejected_weights=(0.0, 1.0, 0.5)
        ),
        PreferencePair(prompt="w5", chosen="w6 w7", rejected="w8"),
    ]
    encoded = encode_pairs(pairs, tokenizer)
    bare = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("w7", "w8 w9 w10")]
    n_prompt = int(encoded.chosen.answer[0].int().argmax())
    assert encoded.chosen.tokens[0][encoded.chosen.answer[0]].tolist() == bare[0]
    assert encoded.rejected.tokens[0][encoded.rejected.answer[0]].tolist() == bare[1]
    assert encoded.rejected.weights[0, n_prompt : n_prompt + 3].tolist() == [0, 1, 0.5]
    assert encoded.rejected.weights[1].sum() == 1
    assert torch.equal(encoded.chosen.weights > 0, encoded.chosen.answer)
    assert not bool(encoded.rejected.weights[~encoded.rejected.answer].any())
    assert encoded.chosen.tokens.shape == encoded.rejected.tokens.shape


def test_another_weight_is_another_hash(tokenizer) -> None:
    pair = PreferencePair(prompt="w5", chosen="w6", rejected="w7", rejected_weights=(1.0,))
    other = PreferencePair(prompt="w5", chosen="w6", rejected="w7", rejected_weights=(0.5,))
    assert encode_pairs([pair], tokenizer).hash != encode_pairs([other], tokenizer).hash


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "w5", "chosen": "w6"}, "lacks prompt, chosen or rejected"),
        ({**GOOD, "chosen": 3}, "lacks prompt, chosen or rejected"),
        ({**GOOD, "chosen": GOOD["rejected"]}, "same answer twice"),
        ({**GOOD, "rejected_weights": "0 1"}, "not a list of numbers"),
        ({**GOOD, "rejected_weights": [0, True]}, "not a list of numbers"),
        ({**GOOD, "rejected_weights": [0, -1]}, "not a list of numbers"),
        ([GOOD], "lacks prompt"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, row: object, message: str) -> None:
    path = lines(tmp_path / "pairs.jsonl", GOOD, row)
    with pytest.raises(BadInput, match=f"line 2.*{message}"):
        read_pairs(path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**GOOD, "rejected_weights": [1.0]}, "1 weights for the 2 tokens"),
        ({**GOOD, "chosen": ""}, "no token"),
        ({**GOOD, "chosen": " ".join(["w7"] * 600)}, "more than the 512"),
    ],
)
def test_tokens_that_do_not_fit_name_the_line(
    tmp_path: Path, tokenizer, row: object, message: str
) -> None:
    path = lines(tmp_path / "pairs.jsonl", GOOD, row)
    with pytest.raises(BadInput, match=f"line 2.*{message}"):
        encode_pairs(read_pairs(path), tokenizer)


def test_no_file_no_pairs_and_no_json_are_refused(tmp_path: Path, tokenizer) -> None:
    with pytest.raises(BadInput, match="not a file"):
        read_pairs(tmp_path / "absent.jsonl")
    with pytest.raises(BadInput, match="is empty"):
        read_pairs(lines(tmp_path / "empty.jsonl"))
    (tmp_path / "bad.jsonl").write_text("{")
    with pytest.raises(BadInput, match="line 1 is not JSON"):
        read_pairs(tmp_path / "bad.jsonl")
    with pytest.raises(BadInput, match="nothing to align on"):
        encode_pairs([], tokenizer)


def test_weights_of_another_column_are_read_if_asked(tmp_path: Path) -> None:
    path = lines(tmp_path / "pairs.jsonl", {**GOOD, "reward": [0.5, 1]})
    assert read_pairs(path, weights="reward")[0].rejected_weights == (0.5, 1.0)
