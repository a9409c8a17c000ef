"""Copy-suppression-preserving ablation: its limits, a planted suppressor, and its files."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from interp.corpus.sources import open_corpus
from interp.heads.attention import HeadGeometry
from interp.heads.columns import Head
from interp.heads.streams import text_stream
from interp.heads.suppression import SuppressionEffect, explained_suppression
from interp.heads.suppression.measure import SuppressionMeasure, clean_pass
from interp.heads.suppression.preserving import kl_divergence, most_predicted, preserved_write
from interp.models.load import load
from interp.results.errors import BadInput, CorruptFile
from tests.heads.making import random_batch
from tests.heads.planted import HEADS, WORDS, planted_directory, planted_text

SUPPRESSOR, INDUCTION = Head(*HEADS["copy_suppression"]), Head(*HEADS["induction"])


def test_with_nothing_kept_a_head_writes_its_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    attention = torch.softmax(torch.randn(3, 4, generator=generator), -1)
    written, mean = torch.randn(4, 6, generator=generator), torch.randn(6, generator=generator)
    unit = torch.nn.functional.normalize(torch.randn(4, 6, generator=generator), dim=-1)
    nothing = torch.zeros(3, 4, dtype=torch.bool)
    write = preserved_write(attention, written, mean, unit, nothing)
    torch.testing.assert_close(write, mean.expand(3, -1))


def test_a_head_that_only_suppresses_what_it_attends_to_is_preserved_whole() -> None:
    attention = torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0], [0.2, 0.3, 0.5]])
    unit, mean = torch.eye(3, 5), torch.full((5,), 0.3)
    written = mean - 2 * unit
    kept = torch.ones(3, 3, dtype=torch.bool)
    torch.testing.assert_close(
        preserved_write(attention, written, mean, unit, kept), attention @ written
    )


def test_a_head_that_raises_what_it_attends_to_keeps_only_its_mean() -> None:
    unit, mean, kept = torch.eye(3, 5), torch.zeros(5), torch.ones(3, 3, dtype=torch.bool)
    assert not preserved_write(torch.eye(3), unit, mean, unit, kept).any()


def test_the_most_predicted_share_is_of_what_is_visible_and_one_at_least() -> None:
    lens = torch.arange(40.0).repeat(3, 1)
    visible = torch.arange(40)[None] < torch.tensor([[40], [5], [0]])
    kept = most_predicted(lens, visible, 0.05)
    assert kept[0].nonzero().flatten().tolist() == [38, 39]
    assert kept[1].nonzero().flatten().tolist() == [4]
    assert not kept[2].any()


def test_divergence_is_that_of_the_distributions() -> None:
    p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.9, 0.1]])
    expected = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    assert float(kl_divergence(p.log() + 3, q.log())) == pytest.approx(expected)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("planted")
    planted_directory(root / "model")
    text = root / "text.jsonl"
    lines = planted_text(8, seed=0)
    rows = lines.splitlines() if isinstance(lines, str) else list(lines)
    text.write_text("\n".join(json.dumps({"text": row}) for row in rows))
    return root / "model", text


@pytest.fixture(scope="module")
def effect(texts: tuple[Path, Path]) -> SuppressionEffect:
    model, text = texts
    return explained_suppression(
        str(model), [SUPPRESSOR, INDUCTION], text=str(text), sequences=8, share=1.0, draws=2
    )


def test_suppression_explains_a_planted_suppressor_and_not_an_induction_head(
    effect: SuppressionEffect,
) -> None:
    # The mean that stands in suppresses every word a little: a share of about 1 / n words of the
    # effect that no direction of one word can give back.
    assert effect.explained[0] > 1 - 1.5 / len(WORDS) and effect.over_null[0, 1] > 0.9
    assert effect.explained[1] == pytest.approx(0, abs=1e-6)


def test_of_a_planted_suppressor_nothing_is_left_unexplained_but_its_mean(
    effect: SuppressionEffect, texts: tuple[Path, Path]
) -> None:
    model, text = texts
    geometry = HeadGeometry.of(load(str(model)))
    none = {SUPPRESSOR: torch.zeros(geometry.d_head)}
    measure = SuppressionMeasure(
        geometry, heads=[SUPPRESSOR], means=none, positions=10, share=1.0, draws=1, seed=0
    )
    corpus = open_corpus(str(text), str(model), length=48)
    for batch in text_stream(corpus, sequences=8).batches(4):
        measure.read(batch)
    assert measure.finish(10, effect.provenance, {}).explained[0] > 0.99


def test_an_effect_saved_and_loaded_is_equal_and_an_altered_one_refused(
    effect: SuppressionEffect, tmp_path: Path
) -> None:
    path = effect.save(tmp_path / "effect")
    again = SuppressionEffect.load(path)
    np.testing.assert_array_equal(again.explained, effect.explained)
    assert again.heads == effect.heads and again.provenance == effect.provenance
    assert "L2H0" in str(again) and "<table>" in again._repr_html_()
    data = path / "data.safetensors"
    data.write_bytes(data.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptFile):
        SuppressionEffect.load(path)


@pytest.mark.parametrize("heads", [[(0, 99)], []])
def test_heads_that_are_not_there_are_refused(
    heads: list[tuple[int, int]], texts: tuple[Path, Path]
) -> None:
    with pytest.raises(BadInput, match="no head"):
        explained_suppression(str(texts[0]), heads, text=str(texts[1]))


@pytest.mark.parametrize("style", ["llama", "olmo2"])
def test_the_logits_read_beside_the_sites_are_those_of_the_model(
    style: str, model_directory: Callable[[str], Path]
) -> None:
    bridge = load(model_directory(style), device="cpu")
    geometry, batch = HeadGeometry.of(bridge), random_batch(padded=True)
    seen, logits = clean_pass(geometry, batch, [2])
    with torch.no_grad():
        expected = bridge(
            torch.from_numpy(batch.tokens),
            attention_mask=torch.from_numpy(batch.attention_mask).long(),
        )
    torch.testing.assert_close(logits, expected)
    assert seen[geometry.pattern_site(2)].shape == (3, 4, 12, 12)
