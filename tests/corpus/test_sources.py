"""Sources: every kind of text gives the same tokens, hostile text is text, bad files are named."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
from datasets import Dataset, IterableDataset
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from interp.corpus import Corpus, open_corpus
from interp.results.errors import BadInput, CorruptFile
from tests.models import tiny_model_directory, write_tokenizer

Directory = Callable[[str], Path]
STORIES = Path("/work/shared/data/stories260K")

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "{{7*7}} ${x} $x$ ** ` | :red[x] :smile:",
    "%s %(a)s {0}",
    "null\0byte",
    "line\u2028separator\u2029paragraph",
    "\u202eright to left\u200dzero width",
    "e" + "\u0301" * 3000,
    "=cmd|' /C calc'!A0",
    "\x1b]0;title\x07\x1b[2J",
    "  spaces around \t",
    "tab\tand\x0bvertical\x0cfeed\x85next",
    "\ufeffmark inside",
    "😀 👩‍👩‍👧 中文 עברית",
    "x" * 1_000_000,
]


def write_byte_tokenizer(directory: Path, **specials: str) -> None:
    """A tokenizer with one token a byte, so that ids can be turned back into exactly the text."""
    directory.mkdir(parents=True, exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(  # type: ignore[attr-defined]
        add_prefix_space=False, use_regex=False
    )
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[attr-defined]
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **specials).save_pretrained(directory)
    d_vocab = 256 + len(specials)
    (directory / "config.json").write_text(
        json.dumps({"vocab_size": d_vocab, "model_type": "gpt2"})
    )


@pytest.fixture(scope="module")
def byte_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bytes") / "model"
    write_byte_tokenizer(directory)
    return directory


def texts_of(corpus: Corpus, model: Path) -> list[str]:
    """The documents that a corpus of the byte tokenizer holds, by number, as text."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    ids: dict[int, list[int]] = {}
    for batch in corpus.batches(8):
        real = batch.attention_mask
        for token, number in zip(batch.tokens[real], batch.document[real], strict=True):
            ids.setdefault(int(number), []).append(int(token))
    return [
        tokenizer.decode(one, clean_up_tokenization_spaces=False) for _, one in sorted(ids.items())
    ]


def tokens_of(corpus: Corpus, batch_size: int = 3, start: int = 0) -> np.ndarray:
    return np.concatenate([b.tokens for b in corpus.batches(batch_size, start=start)])


def write_jsonl(path: Path, entries: list) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def stream(texts: list[str]) -> IterableDataset:
    def generate() -> Iterator[dict[str, str]]:
        yield from ({"text": text} for text in texts)

    return IterableDataset.from_generator(generate)  # pyright: ignore[reportReturnType]


WORDS = ["w5 w6 w7", "w8", "w9 w10 w11 w12 w13", "w14 w15"]


def every_kind(directory: Path, texts: list[str]) -> dict[str, object]:
    entries = [{"text": text, "n": i} for i, text in enumerate(texts)]
    (directory / "a.txt").write_text("\n".join(texts))
    parquet.write_table(pyarrow.Table.from_pylist(entries), directory / "a.parquet")
    half = len(texts) // 2
    (directory / "parts").mkdir()
    write_jsonl(directory / "parts" / "1.jsonl", entries[:half])
    (directory / "parts" / "2.txt").write_text("\n".join(texts[half:]))
    return {
        "text": directory / "a.txt",
        "jsonl": str(write_jsonl(directory / "a.jsonl", entries)),
        "parquet": directory / "a.parquet",
        "directory": directory / "parts",
        "dataset": Dataset.from_list(entries),
        "stream": stream(texts),
    }


@pytest.mark.parametrize("packing", ["pack", "document"])
def test_every_kind_of_source_gives_the_same_tokens(
    tmp_path: Path, model_directory: Directory, packing
):
    sources = every_kind(tmp_path, WORDS)
    found = {
        kind: tokens_of(open_corpus(source, model_directory("gpt2"), length=4, packing=packing))
        for kind, source in sources.items()
    }
    for kind, tokens in found.items():
        assert np.array_equal(tokens, found["text"]), kind


def test_packed_words_stand_where_they_should(tmp_path: Path, model_directory: Directory):
    (tmp_path / "a.txt").write_text("w5 w6\n\nw7\n")
    corpus = open_corpus(tmp_path / "a.txt", model_directory("gpt2"), length=4)
    (batch,) = corpus.batches(4)
    assert batch.tokens.tolist() == [[5, 6, 2, 7], [2, 0, 0, 0]]
    assert batch.document.tolist() == [[0, 0, 0, 1], [1, -1, -1, -1]]
    assert batch.special.tolist() == [[False, False, True, False], [True, False, False, False]]
    assert "no BOS" in corpus.bos
    assert "<eos> (id 2)" in corpus.bos


def test_bos_is_put_where_the_tokenizer_puts_it_and_said(tmp_path: Path):
    model = tiny_model_directory("llama", tmp_path / "model", adds_bos=True)
    (tmp_path / "a.txt").write_text("w5 w6 w7\nw8\n")
    corpus = open_corpus(tmp_path / "a.txt", model, length=3)
    (batch,) = corpus.batches(9)
    assert batch.tokens.tolist() == [[1, 5, 6], [1, 7, 2], [1, 8, 2]]
    assert batch.bos[:, 0].all()
    assert not batch.bos[:, 1:].any()
    assert "starts with <bos> (id 1), as its tokenizer does" in corpus.bos
    without = open_corpus(tmp_path / "a.txt", model, length=3, add_bos=False)
    assert not np.isin(1, tokens_of(without))
    assert without.hash != corpus.hash


def test_bos_can_be_asked_for_and_is_refused_where_there_is_none(
    tmp_path: Path, model_directory: Directory, byte_model: Path
):
    (tmp_path / "a.txt").write_text("w5\n")
    corpus = open_corpus(tmp_path / "a.txt", model_directory("gpt2"), length=3, add_bos=True)
    assert tokens_of(corpus).tolist() == [[1, 5, 2]]
    assert "on request" in corpus.bos
    with pytest.raises(BadInput, match="no BOS"):
        open_corpus(tmp_path / "a.txt", byte_model, length=3, add_bos=True)


def test_a_tokenizer_that_is_no_models_can_be_given(tmp_path: Path):
    write_tokenizer(tmp_path / "t", adds_bos=True)
    (tmp_path / "a.txt").write_text("w5 w6\n")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "t")
    assert tokens_of(open_corpus(tmp_path / "a.txt", tokenizer, length=4)).tolist() == [
        [1, 5, 6, 2]
    ]


@pytest.mark.parametrize("packing", ["pack", "document"])
def test_hostile_text_comes_back_character_by_character(tmp_path: Path, byte_model: Path, packing):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in HOSTILE])
    corpus = open_corpus(path, byte_model, length=1000, packing=packing)
    assert texts_of(corpus, byte_model) == HOSTILE


@pytest.mark.parametrize("packing", ["pack", "document"])
def test_special_tokens_spelt_out_in_text_are_text(tmp_path: Path, packing):
    write_byte_tokenizer(tmp_path / "model", bos_token="<s>", eos_token="</s>")
    texts = ["a</s>b", "</s>", "<s><s> x </s", "<s>"]
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in texts])
    corpus = open_corpus(path, tmp_path / "model", length=8, packing=packing)
    (batch,) = corpus.batches(99)
    ends = len(texts) if packing == "pack" else 0
    assert batch.special.sum() == ends
    kept = batch.attention_mask & ~batch.special
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    found = [tokenizer.decode(batch.tokens[kept & (batch.document == i)]) for i in range(4)]
    assert found == texts
    assert "spelt out" not in corpus.bos


def test_a_vocabulary_in_which_special_tokens_are_words_says_so(
    tmp_path: Path, model_directory: Directory
):
    (tmp_path / "a.txt").write_text("w5 <eos> w6")
    for packing in ("pack", "document"):
        corpus = open_corpus(tmp_path / "a.txt", model_directory("gpt2"), length=3, packing=packing)
        assert next(corpus.batches(1)).tokens[0].tolist() == [5, 2, 6]
        assert "a special token spelt out in the text becomes that token" in corpus.bos


def test_only_a_newline_ends_a_line_of_text(tmp_path: Path, byte_model: Path):
    lines = [text for text in HOSTILE if "\n" not in text and "\r" not in text]
    (tmp_path / "a.txt").write_bytes("\r\n".join(lines).encode())
    corpus = open_corpus(tmp_path / "a.txt", byte_model, length=500)
    assert texts_of(corpus, byte_model) == lines


@settings(max_examples=30)
@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=5))
def test_any_text_survives_jsonl_and_packing(tmp_path_factory, byte_model: Path, texts: list[str]):
    path = tmp_path_factory.mktemp("drawn") / "a.jsonl"
    corpus = open_corpus(
        write_jsonl(path, [{"text": text} for text in texts]), byte_model, length=7
    )
    assert texts_of(corpus, byte_model) == texts


def test_a_byte_order_mark_at_the_start_is_no_text(tmp_path: Path, byte_model: Path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfab\ncd\n")
    corpus = open_corpus(tmp_path / "a.txt", byte_model, length=9)
    assert texts_of(corpus, byte_model) == ["ab", "cd"]


def test_the_order_is_the_sources_without_a_seed_and_one_shuffle_with_it(
    tmp_path: Path, byte_model: Path
):
    texts = [f"document {i}" for i in range(50)]
    for kind, source in every_kind(tmp_path, texts).items():
        plain = open_corpus(source, byte_model, length=16, packing="document")
        assert texts_of(plain, byte_model) == texts, kind
        if kind == "stream":
            continue
        shuffled = [
            open_corpus(source, byte_model, length=16, packing="document", seed=seed)
            for seed in (1, 1, 2)
        ]
        first, again, other = (tokens_of(corpus) for corpus in shuffled)
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)
        assert not np.array_equal(first, tokens_of(plain))
        assert texts_of(shuffled[0], byte_model) == texts, kind
        assert len({corpus.hash for corpus in [*shuffled, plain]}) == 3


def test_a_stream_cannot_be_shuffled_and_says_so(byte_model: Path):
    with pytest.raises(BadInput, match="stream"):
        open_corpus(stream(WORDS), byte_model, length=4, seed=1)


@pytest.mark.parametrize("start", [1, 2, 5])
def test_reading_goes_on_at_a_sequence_number(tmp_path: Path, byte_model: Path, start: int):
    (tmp_path / "a.txt").write_text("\n".join(f"line {i}" for i in range(20)))
    corpus = open_corpus(tmp_path / "a.txt", byte_model, length=9, seed=3)
    assert np.array_equal(tokens_of(corpus, start=start), tokens_of(corpus, 7)[start:])
    first = next(corpus.batches(2, start=start))
    assert first.sequence.tolist() == [start, start + 1]


def test_one_epoch_ends_where_the_text_ends(tmp_path: Path, byte_model: Path):
    (tmp_path / "a.txt").write_text("abcdefg")
    corpus = open_corpus(tmp_path / "a.txt", byte_model, length=3)
    assert [batch.attention_mask.sum() for batch in corpus.batches(1)] == [3, 3, 1]


def test_labels_travel_with_every_token(tmp_path: Path, byte_model: Path):
    entries = [{"text": "abc", "kind": 4, "share": 0.25}, {"text": "de", "kind": True, "share": 1}]
    entries[1]["share"] = 1.0
    path = write_jsonl(tmp_path / "a.jsonl", entries)
    corpus = open_corpus(path, byte_model, length=4, labels=["kind", "share"])
    (batch,) = corpus.batches(9)
    assert batch.labels["kind"].tolist() == [[4, 4, 4, 1], [1, -1, -1, -1]]
    assert batch.labels["share"][0].tolist() == [0.25, 0.25, 0.25, 1.0]
    assert np.isnan(batch.labels["share"][1, 1:]).all()


def test_the_hash_follows_text_tokenizer_and_settings_and_not_the_files_name(
    tmp_path: Path, model_directory: Directory, byte_model: Path
):
    (tmp_path / "a.txt").write_text("w5 w6\nw7\n")
    (tmp_path / "b.txt").write_text("w5 w6\nw7\n")
    (tmp_path / "c.txt").write_text("w5 w6\nw8\n")
    gpt2 = model_directory("gpt2")

    def hashed(name: str = "a.txt", model: Path = gpt2, **changed: Any) -> str:
        return open_corpus(tmp_path / name, model, **{"length": 4, **changed}).hash

    assert hashed() == hashed() == hashed("b.txt")
    variants = [
        hashed(),
        hashed("c.txt"),
        hashed(model=byte_model),
        hashed(length=5),
        hashed(packing="document"),
        hashed(seed=0),
        hashed(seed=1),
        hashed(add_bos=True),
    ]
    assert len(set(variants)) == len(variants)


def test_a_datasets_hash_follows_its_content(byte_model: Path):
    def hashed(texts: list[str]) -> str:
        source = Dataset.from_dict({"text": texts, "other": list(range(len(texts)))})
        return open_corpus(source, byte_model, length=4).hash

    assert hashed(["ab", "cd"]) == hashed(["ab", "cd"])
    assert len({hashed(["ab", "cd"]), hashed(["ab", "ce"]), hashed(["abc", "d"])}) == 3


def test_ready_ids_need_no_tokenizer(tmp_path: Path):
    model = tiny_model_directory("gpt2", tmp_path / "model", tokenizer=False)
    ids = np.arange(4, 24).reshape(4, 5)
    np.save(tmp_path / "ids.npy", ids)
    from_array = open_corpus(ids, model, length=5)
    from_file = open_corpus(tmp_path / "ids.npy", model, length=5)
    assert np.array_equal(tokens_of(from_array), ids)
    assert from_array.hash == from_file.hash
    assert from_array.n_sequences == 4
    path = write_jsonl(tmp_path / "a.jsonl", [{"ids": row.tolist()} for row in ids])
    packed = open_corpus(path, model, length=6, field="ids", add_bos=False)
    rows = [token for batch in packed.batches(9) for token in batch.tokens[batch.attention_mask]]
    assert [token for token in rows if token != 2] == ids.flatten().tolist()


def test_text_for_a_model_without_a_tokenizer_is_refused_in_one_line(tmp_path: Path):
    model = tiny_model_directory("gpt2", tmp_path / "model", tokenizer=False)
    (tmp_path / "a.txt").write_text("hello")
    for names in (model, None):
        with pytest.raises(BadInput, match=r"no tokenizer.*ready ids") as error:
            open_corpus(tmp_path / "a.txt", names, length=4)
        assert "\n" not in str(error.value)


def test_ids_beyond_the_models_vocabulary_are_refused_with_their_place(tmp_path: Path):
    model = tiny_model_directory("gpt2", tmp_path / "model", tokenizer=False)
    path = write_jsonl(tmp_path / "a.jsonl", [{"ids": [5, 6]}, {"ids": [7, 64]}])
    with pytest.raises(BadInput, match="id 64 .* 64 entries"):
        tokens_of(open_corpus(path, model, length=4, field="ids"))
    with pytest.raises(BadInput, match="id 99"):
        open_corpus(np.full((2, 4), 99), model, length=4)


def test_a_tokenizer_of_another_model_is_found_out_by_its_ids(tmp_path: Path):
    model = tiny_model_directory("gpt2", tmp_path / "model", tokenizer=False)
    write_tokenizer(model, d_vocab=80)
    (tmp_path / "a.txt").write_text("w5 w70")
    with pytest.raises(BadInput, match="id 70"):
        tokens_of(open_corpus(tmp_path / "a.txt", model, length=4))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"text": "a"}\n{"txet": "b"}\n', r"line 2 has no field 'text': its fields are txet"),
        (b'{"text": "a"}\n\n{"text": null}\n', r"line 3 has no field 'text'"),
        (b'{"text": "a"}\n{"text": \n', r"line 2 is not JSON"),
        (b'{"text": "a"}\n["text"]\n', r"line 2 is a JSON list"),
        (b'{"text": "a"}\n{"text": 7}\n', r"line 2: field 'text' holds a int"),
        (b'{"text": "a"}\n{"text": [1, "b"]}\n', r"line 2: field 'text' holds a list"),
        (b'{"text": "a"}\n{"text": "\xff"}\n', r"line 2 is not UTF-8"),
        (b'{"text": "half \\ud800 pair"}\n', r"line 1 holds the lone surrogate"),
        (b"[" * 100_000, r"line 1 is not JSON"),
        (b"", r"the source is empty"),
        (b"\n  \n\t\n", r"the source is empty"),
    ],
)
def test_a_bad_line_is_named_before_the_first_batch(
    tmp_path: Path, byte_model: Path, content: bytes, said: str
):
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(BadInput, match=said):
        open_corpus(tmp_path / "a.jsonl", byte_model, length=4)


def test_a_text_file_that_is_not_utf8_is_named_with_its_line(tmp_path: Path, byte_model: Path):
    (tmp_path / "a.txt").write_bytes("one\ntwo\nthree é\n".encode("latin-1"))
    with pytest.raises(BadInput, match=r"a\.txt, line 3 is not UTF-8"):
        open_corpus(tmp_path / "a.txt", byte_model, length=4)
    (tmp_path / "b.txt").write_bytes("utf-16".encode("utf-16"))
    with pytest.raises(BadInput, match="line 1 is not UTF-8"):
        open_corpus(tmp_path / "b.txt", byte_model, length=4)


def test_labels_that_are_no_values_are_refused(tmp_path: Path, byte_model: Path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "a", "kind": {"noun": 1}}])
    with pytest.raises(BadInput, match=r"\{'noun': 1\}, a number, a string"):
        open_corpus(path, byte_model, length=4, labels=["kind"])
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(BadInput, match="no labels"):
        open_corpus(tmp_path / "a.txt", byte_model, length=4, labels=["kind"])


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**400])
def test_integers_beyond_64_bits_are_refused_with_their_line(
    tmp_path: Path, byte_model: Path, value: int
):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "a", "n": 1}, {"text": "b", "n": value}])
    with pytest.raises(BadInput, match=r"line 2: label 'n' is beyond the 64 bits"):
        open_corpus(path, byte_model, length=4, labels=["n"])
    path = write_jsonl(tmp_path / "b.jsonl", [{"ids": [value]}])
    with pytest.raises(BadInput, match=r"line 1: a token id is beyond the 64 bits"):
        open_corpus(path, byte_model, length=4, field="ids")
    (tmp_path / "c.jsonl").write_text(f'{{"text": "a", "n": {"9" * 5000}}}')
    with pytest.raises(BadInput, match=r"line 1 is not JSON"):
        open_corpus(tmp_path / "c.jsonl", byte_model, length=4, labels=["n"])


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path, byte_model: Path):
    parquet.write_table(pyarrow.table({"body": ["a"]}), tmp_path / "a.parquet")
    for source in (tmp_path / "a.parquet", Dataset.from_dict({"body": ["a"]})):
        with pytest.raises(BadInput, match="no column 'text': its columns are body"):
            open_corpus(source, byte_model, length=4)


def test_a_parquet_file_that_is_none_is_one_error(tmp_path: Path, byte_model: Path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(CorruptFile, match=r"a\.parquet"):
        open_corpus(tmp_path / "a.parquet", byte_model, length=4)


def test_what_is_no_source_is_refused(tmp_path: Path, byte_model: Path):
    for source in ("./nosuch.txt", tmp_path / "nosuch.jsonl", tmp_path, "/dev/zero", 7, ["a"]):
        with pytest.raises(BadInput):
            open_corpus(source, byte_model, length=4)
    (tmp_path / "a.npy").write_bytes(b"\x80\x04pickle")
    with pytest.raises(BadInput, match="array"):
        open_corpus(tmp_path / "a.npy", byte_model, length=4)
    np.save(tmp_path / "object.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(BadInput, match="array"):
        open_corpus(tmp_path / "object.npy", byte_model, length=4)
    for ids in (np.zeros((2, 4)), np.zeros(4, np.int64)):
        with pytest.raises(BadInput, match="ready ids"):
            open_corpus(ids, byte_model, length=4)


def test_settings_that_make_no_sense_are_refused(tmp_path: Path, byte_model: Path):
    (tmp_path / "a.txt").write_text("abc")
    with pytest.raises(BadInput, match="length 0"):
        open_corpus(tmp_path / "a.txt", byte_model, length=0)
    with pytest.raises(BadInput, match="cannot tokenize"):
        open_corpus(tmp_path / "a.txt", 7, length=4)


def test_without_the_hub_a_hub_name_is_one_line(byte_model: Path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BadInput, match="hub data set") as error:
        open_corpus("lab/stories:small", byte_model, length=4)
    assert "\n" not in str(error.value)


def test_documents_that_hold_no_token_are_passed_over(tmp_path: Path, byte_model: Path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": ""}, {"text": "ab"}, {"text": ""}])
    (batch,) = open_corpus(path, byte_model, length=4).batches(9)
    assert batch.document.tolist() == [[1, 1, -1, -1]]
    nothing = write_jsonl(tmp_path / "b.jsonl", [{"text": ""}])
    with pytest.raises(BadInput, match="empty"):
        tokens_of(open_corpus(nothing, byte_model, length=4))


def test_a_corpus_opens_without_importing_torch(tmp_path: Path, model_directory: Directory):
    code = (
        "import sys; from interp.corpus import Corpus, TokenBatch, open_corpus;"
        "assert 'torch' not in sys.modules; assert 'transformers' not in sys.modules"
    )
    run([sys.executable, "-c", code], check=True)


# Needs the small trained model that lies beside the repository on our machines.
@pytest.mark.skipif(not STORIES.is_dir(), reason=f"{STORIES} is not on this machine")
def test_a_sentencepiece_model_reads_hostile_text_with_bos_in_front(tmp_path: Path):
    hostile = [*HOSTILE[:-1], "a </s> b <s>c</s>"]
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in hostile])
    corpus = open_corpus(path, STORIES, length=64)
    batches = list(corpus.batches(16))
    assert all((batch.tokens[:, 0] == 1).all() for batch in batches)
    assert all(batch.bos[:, 0].all() and not batch.bos[:, 1:].any() for batch in batches)
    ends = sum(int((batch.tokens == 2)[batch.attention_mask].sum()) for batch in batches)
    assert ends == len(hostile)
