"""What the files say about a tokenizer, and that nothing else is believed."""

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from interp.models.tokenizer import (
    has_tokenizer,
    load_tokenizer,
    token_strings,
    tokenizer_digest,
    tokenizer_facts,
)
from interp.results.errors import CorruptFile
from tests.models import tiny_model_directory, write_tokenizer

STORIES = Path("/work/shared/data/stories260K")


def test_a_full_tokenizer_is_read_as_declared(tmp_path: Path):
    write_tokenizer(tmp_path, adds_bos=True)
    facts = tokenizer_facts(tmp_path)
    assert (facts.present, facts.n_tokens) == (True, 64)
    assert (facts.pad_id, facts.bos_id, facts.eos_id, facts.unk_id) == (0, 1, 2, 3)
    assert facts.adds_bos
    assert (facts.prefix, facts.suffix) == ((1,), ())
    assert facts.special_ids == (0, 1, 2)


def test_the_unknown_token_is_text_and_not_special(tmp_path: Path):
    write_tokenizer(tmp_path)
    assert 3 not in tokenizer_facts(tmp_path).special_ids


def test_a_tokenizer_without_bos_eos_and_padding_has_none_of_them(tmp_path: Path):
    write_tokenizer(tmp_path, specials=False)
    facts = tokenizer_facts(tmp_path)
    assert facts.present
    assert (facts.bos_id, facts.eos_id, facts.pad_id) == (None, None, None)
    assert not facts.adds_bos


def test_a_class_default_that_names_a_token_the_files_lack_is_not_believed(tmp_path: Path):
    """GPT-2's tokenizer class says `<|endoftext|>` whatever the vocabulary holds."""
    write_tokenizer(tmp_path, specials=False)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["tokenizer_class"] = "GPT2Tokenizer"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    facts = tokenizer_facts(tmp_path)
    assert (facts.bos_id, facts.eos_id) == (None, None)


def test_without_tokenizer_files_the_ids_are_those_of_the_config(tmp_path: Path):
    tiny_model_directory("llama", tmp_path, tokenizer=False, bos_token_id=0, eos_token_id=5)
    facts = tokenizer_facts(tmp_path)
    assert not facts.present
    assert (facts.bos_id, facts.eos_id, facts.digest) == (0, 5, None)
    assert load_tokenizer(tmp_path) is None


def test_an_id_of_the_config_outside_the_vocabulary_is_not_believed(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 64, "bos_token_id": 50256}))
    assert tokenizer_facts(tmp_path).bos_id is None


@pytest.mark.parametrize("style", ["gpt2", "llama", "neox", "qwen2", "t5", "bert"])
def test_no_style_invents_a_tokenizer(tmp_path: Path, style: str):
    tiny_model_directory(style, tmp_path, tokenizer=False)
    assert not has_tokenizer(tmp_path)
    assert not tokenizer_facts(tmp_path).present


def test_a_damaged_tokenizer_is_one_error(tmp_path: Path):
    write_tokenizer(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text()[:-50])
    with pytest.raises(CorruptFile, match="tokenizer"):
        tokenizer_facts(tmp_path)


def test_the_digest_follows_the_ids_and_not_the_formatting(tmp_path: Path):
    write_tokenizer(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    path = tmp_path / "b" / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=7))
    assert tokenizer_digest(tmp_path / "a") == tokenizer_digest(tmp_path / "b")
    write_tokenizer(tmp_path / "c", d_vocab=65)
    write_tokenizer(tmp_path / "d", adds_bos=True)
    digests = {tokenizer_digest(tmp_path / name) for name in "acd"}
    assert len(digests) == 3


def test_the_digest_survives_being_saved_again_by_transformers(tmp_path: Path):
    write_tokenizer(tmp_path / "a", adds_bos=True)
    tokenizer = load_tokenizer(tmp_path / "a")
    assert tokenizer is not None
    tokenizer(["w4 w5", "w6"], padding=True, truncation=True, max_length=1)
    tokenizer.save_pretrained(tmp_path / "b")
    assert tokenizer_digest(tmp_path / "a") == tokenizer_digest(tmp_path / "b")


def test_token_strings_show_spaces_and_half_characters(tmp_path: Path):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*alphabet, "Ġa"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("Ġ", "a")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(  # type: ignore[attr-defined]
        add_prefix_space=False
    )
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[attr-defined]
    strings = token_strings(PreTrainedTokenizerFast(tokenizer_object=tokenizer))
    assert strings[vocabulary["Ġa"]] == " a"
    assert strings[vocabulary["Ġ"]] == " "
    first_half_of_e_acute = tokenizer.encode("é").ids[0]
    assert "\ufffd" not in strings[first_half_of_e_acute]
    assert len(set(strings)) == len(strings)


def test_a_vocabulary_that_the_model_pads_has_empty_strings_at_its_end(tmp_path: Path):
    write_tokenizer(tmp_path, d_vocab=8)
    strings = token_strings(load_tokenizer(tmp_path), 10)
    assert strings[4:] == ["w4", "w5", "w6", "w7", "", ""]


# Needs the small trained model that lies beside the repository on our machines.
@pytest.mark.skipif(not STORIES.is_dir(), reason=f"{STORIES} is not on this machine")
def test_a_sentencepiece_tokenizer_puts_bos_first_and_shows_its_spaces():
    facts = tokenizer_facts(STORIES)
    assert (facts.bos_id, facts.eos_id, facts.pad_id, facts.adds_bos) == (1, 2, None, True)
    strings = token_strings(load_tokenizer(STORIES))
    assert len(strings) == 512
    assert " the" in strings
