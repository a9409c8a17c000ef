"""Scoring the heads of a model: shared passes, honest nulls, clear refusals."""

import inspect
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.relations import Entity, RelatedSequence, RelationCorpus, Triplet
from interp.heads.registry import registry
from interp.heads.score import score_heads
from interp.heads.scores import ARRAYS, HeadScores
from interp.results.errors import BadInput, Unsupported
from tests.heads.making import tiny_bridge
from tests.models import D_VOCAB

BY_ATTENTION = ["previous_token", "offset", "duplicate_token", "prefix_matching"]
LENGTH = 24


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> TransformerBridge:
    return tiny_bridge("gpt2", tmp_path_factory.mktemp("models"))


def ids(n: int = 10, length: int = LENGTH, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(4, D_VOCAB, (n, length))


def scored(bridge: TransformerBridge, detectors: list[str] = BY_ATTENTION, **changed: object):
    settings = {"text": ids(), "length": LENGTH, "sequences": 10, "draws": 99, "bootstrap": 50}
    return score_heads(bridge, detectors, **{**settings, **changed})


@pytest.fixture(scope="module")
def found(bridge: TransformerBridge) -> HeadScores:
    return scored(bridge)


def test_scores_are_means_of_the_attention_patterns(
    bridge: TransformerBridge, found: HeadScores
) -> None:
    _, cache = bridge.run_with_cache(torch.from_numpy(ids()))
    for layer in range(3):
        pattern = cache[f"blocks.{layer}.attn.hook_pattern"]
        one_back = pattern.diagonal(offset=-1, dim1=-2, dim2=-1).mean((0, -1))
        np.testing.assert_allclose(
            found.array("score", "previous_token")[layer], one_back, atol=1e-6
        )
        three_back = pattern.diagonal(offset=-3, dim1=-2, dim2=-1).mean((0, -1))
        np.testing.assert_allclose(found.array("score", "offset.3")[layer], three_back, atol=1e-6)


def test_every_number_is_there_and_no_p_is_zero(found: HeadScores) -> None:
    for name in ARRAYS:
        assert np.isfinite(getattr(found, name)).all(), name
    assert (found.p > 0).all()
    assert (found.p <= found.p_adj + 1e-12).all()
    assert (found.ci_low <= found.score + 1e-9).all()
    assert (found.score <= found.ci_high + 1e-9).all()


@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_size_of_batches_changes_no_score_and_no_p(
    bridge: TransformerBridge, found: HeadScores, batch_size: int
) -> None:
    other = scored(bridge, batch_size=batch_size)
    np.testing.assert_allclose(other.score, found.score, atol=1e-6)
    np.testing.assert_allclose(other.p_adj, found.p_adj, atol=0.011)


def test_a_detector_scores_alike_alone_and_among_others(
    bridge: TransformerBridge, found: HeadScores
) -> None:
    alone = scored(bridge, ["prefix_matching"])
    np.testing.assert_array_equal(alone.p[..., 0], found.array("p", "prefix_matching"))


def test_a_misspelt_option_is_refused_by_name(bridge: TransformerBridge) -> None:
    with pytest.raises(BadInput, match=r"no detector reads clases: there are .*classes \(succ"):
        scored(bridge, clases={"digits": ["1", "2", "3"]})


def test_every_option_that_a_detector_reads_is_one_of_its_own() -> None:
    for name, detector in registry().items():
        source = inspect.getsource(sys.modules[f"interp.heads.detectors.{name}"])
        read = re.findall(r'options\.get\("(\w+)"\)', source)
        assert set(read) - {"length"} <= set(detector.options), name


def test_processes_started_together_are_refused(
    bridge: TransformerBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(Unsupported, match="scoring heads runs in one process"):
        scored(bridge)


def test_detectors_of_one_input_share_their_forward_passes(bridge: TransformerBridge) -> None:
    passes: list[int] = []
    counter = bridge.blocks[0].register_forward_hook(lambda _, args, out: passes.append(1))
    scored(bridge, batch_size=5)
    counter.remove()
    assert len(passes) == 2 * 2


def related() -> RelationCorpus:
    entities = (Entity("a", "t", ((3, 4),)), Entity("b", "t", ((6, 7),)))
    triplets = (Triplet(0, 0, 1, ()),)
    rows = [RelatedSequence(row, entities, triplets, i, None) for i, row in enumerate(ids(6))]
    return RelationCorpus.from_sequences(rows, relations=["r"])


def test_sequences_with_relations_serve_as_text_in_the_same_passes(
    bridge: TransformerBridge,
) -> None:
    passes: list[int] = []
    counter = bridge.blocks[0].register_forward_hook(lambda _, args, out: passes.append(1))
    both = scored(bridge, ["previous_token", "relation"], text=None, relations=related())
    counter.remove()
    assert len(passes) == 1
    alone = scored(bridge, ["previous_token"], text=ids(6))
    np.testing.assert_allclose(
        both.array("score", "previous_token"), alone.array("score", "previous_token"), atol=1e-6
    )


def test_padding_of_shorter_texts_is_neither_query_nor_key(
    bridge: TransformerBridge, tmp_path: Path
) -> None:
    words = [[f"w{i}" for i in row] for row in ids(2)]
    words[1] = words[1][:9]
    file = tmp_path / "two.txt"
    file.write_text("\n\n".join(" ".join(text) for text in words))
    both = scored(bridge, ["previous_token"], text=file, packing="document")
    values = []
    for row in (ids(2)[:1], ids(2)[1:, :9]):
        _, cache = bridge.run_with_cache(torch.from_numpy(row))
        patterns = torch.stack([cache[f"blocks.{i}.attn.hook_pattern"][0] for i in range(3)])
        values.append(patterns.diagonal(offset=-1, dim1=-2, dim2=-1).mean(-1))
    assert both.n_sequences.max() == 2
    np.testing.assert_allclose(both.score[..., 0], torch.stack(values).mean(0), atol=1e-6)


@pytest.mark.slow
def test_on_random_models_prefix_matching_is_found_no_more_often_than_chance_says(
    tmp_path: Path,
) -> None:
    # Not so of copies and of the token before: a random query-key matrix has a trace, by which it
    # likes equal tokens, and random layers mix near tokens alike. Those small scores are real.
    families, p = [], []
    for seed in range(12):
        model = tiny_bridge("gpt2", tmp_path / str(seed), seed=seed, vocab_size=600, n_layer=2)
        scores = score_heads(
            model, ["prefix_matching"], length=LENGTH, sequences=16, draws=199, bootstrap=2,
            seed=seed,
        )  # fmt: skip
        families.append(scores.p_adj.min() <= 0.05)
        p.append(scores.p.ravel()[seed % 8])
    n = len(families)
    assert np.mean(families) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / n)
    assert abs(np.mean(p) - 0.5) < 3 * np.sqrt(1 / 12 / n)


def test_a_detector_without_its_input_is_refused(bridge: TransformerBridge) -> None:
    with pytest.raises(BadInput, match="previous_token reads text: give --text"):
        scored(bridge, ["previous_token"], text=None)
    with pytest.raises(BadInput, match="no detector 'induktion'.*induction"):
        scored(bridge, ["induktion"])


def test_sequences_beyond_the_context_are_refused(bridge: TransformerBridge) -> None:
    with pytest.raises(BadInput, match="65 tokens does not fit the context of 64"):
        scored(bridge, ["prefix_matching"], length=65)
    with pytest.raises(BadInput, match="65 tokens does not fit the context of 64"):
        scored(bridge, ["previous_token"], text=ids(2, 65), length=65)


def test_an_offset_beyond_the_sequences_is_refused(bridge: TransformerBridge) -> None:
    with pytest.raises(BadInput, match="from 1 to 23"):
        scored(bridge, ["offset"], offsets=[24])


def test_an_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="no causal decoder"):
        scored(tiny_bridge("bert", tmp_path))
