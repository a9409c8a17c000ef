"""Hub models through huggingface_hub itself, from a local cache and with the network off."""

import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from interp.corpus import open_corpus
from interp.models.hub import fetch
from interp.models.load import load, reference_of
from interp.models.reference import resolve
from interp.models.series import checkpoints
from interp.results.errors import BadInput
from tests.models import tiny_model_directory, write_tokenizer

COMMITS = {"main": "a" * 40, "step20": "b" * 40, "step3": "c" * 40, "step100": "d" * 40}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache as huggingface_hub lays it out, holding `lab/tiny`, with the hub off."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--lab--tiny"
    for seed, (name, commit) in enumerate(COMMITS.items()):
        tiny_model_directory("llama", repository / "snapshots" / commit, seed=seed)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / name).write_text(commit)
    return tmp_path


def test_a_cached_model_loads_and_its_commit_is_recorded(cache: Path):
    bridge = load("lab/tiny")
    reference = reference_of(bridge)
    assert reference is not None
    assert reference.revision == COMMITS["main"]
    assert reference.hub_id == "lab/tiny"


def test_a_revision_by_name_by_step_and_by_commit_is_the_same_model(cache: Path):
    tokens = torch.arange(4, 14)[None]
    with torch.no_grad():
        by_name = load("lab/tiny", revision="step20")(tokens)
        assert torch.equal(by_name, load("lab/tiny@20")(tokens))
        assert torch.equal(by_name, load("lab/tiny", revision=COMMITS["step20"])(tokens))
        assert not torch.equal(by_name, load("lab/tiny")(tokens))


def test_revisions_named_as_pythias_are_a_series_in_the_order_of_steps(cache: Path):
    points = checkpoints("lab/tiny")
    assert [point.step for point in points] == [3, 20, 100]
    assert [point.revision for point in points] == ["step3", "step20", "step100"]
    for point in points:
        fetched = fetch(resolve(point.ref, revision=point.revision))
        assert fetched.revision == COMMITS[f"step{point.step}"]


def test_a_corpus_reads_with_the_tokenizer_of_the_revision_that_was_loaded(cache: Path):
    write_tokenizer(cache / "models--lab--tiny" / "snapshots" / COMMITS["step20"], adds_bos=True)
    (cache / "text.txt").write_text("w5 w6")
    reference = reference_of(load("lab/tiny@20"))
    (batch,) = open_corpus(cache / "text.txt", reference, length=4).batches(1)
    assert batch.tokens.tolist() == [[1, 5, 6, 2]]
    (batch,) = open_corpus(cache / "text.txt", "lab/tiny", length=4).batches(1)
    assert batch.tokens.tolist() == [[5, 6, 2, 0]]


def test_a_model_that_is_not_in_the_cache_is_one_line_without_network(cache: Path):
    with pytest.raises(BadInput, match="cannot be reached") as error:
        load("lab/other")
    assert "\n" not in str(error.value)
    with pytest.raises(BadInput, match="step7"):
        load("lab/tiny", revision="step7")


def test_a_snapshot_without_weights_is_refused(cache: Path):
    snapshot = cache / "models--lab--tiny" / "snapshots" / COMMITS["main"]
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(BadInput, match="safetensors"):
        load("lab/tiny")


def test_an_empty_cache_holds_no_series(cache: Path):
    shutil.rmtree(cache / "models--lab--tiny")
    with pytest.raises(BadInput):
        checkpoints("lab/tiny")
