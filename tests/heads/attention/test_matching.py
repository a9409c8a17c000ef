"""A detection matrix against attention, beside TransformerLens's detect_head and by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformer_lens.head_detector import HEAD_NAMES, detect_head
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention.matching import NAMED, detection_matrix, entries_of, matched
from interp.heads.score import score_heads
from interp.results.errors import BadInput
from tests.heads.making import tiny_bridge

LENGTH = 24


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def bridge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    return tiny_bridge(request.param, tmp_path_factory.mktemp("models"), adds_bos=True)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = np.random.default_rng(0)
    # Few words, so that copies and neighbours that are alike come often.
    return [" ".join(f"w{i}" for i in rng.integers(4, 12, LENGTH - 1)) for _ in range(3)]


@pytest.mark.parametrize("measure", ["mul", "abs"])
@pytest.mark.parametrize("name", NAMED)
def test_over_all_rows_a_named_head_is_that_of_detect_head(
    bridge: TransformerBridge, texts: list[str], name: Any, measure: Any
) -> None:
    ids = np.stack([bridge.to_tokens(text)[0].numpy() for text in texts])
    assert ids.shape == (3, LENGTH)
    ours = score_heads(
        bridge, ["pattern"], text=ids, length=LENGTH, draws=10, bootstrap=10,
        pattern=name, measure=measure, rows="all",
    )  # fmt: skip
    peer: Any = bridge
    theirs = detect_head(peer, texts, name, error_measure=measure).numpy()
    # Their abs is rounded to three decimals a sequence.
    tolerance = 1e-6 if measure == "mul" else 5.1e-4
    np.testing.assert_allclose(ours.score[..., 0], theirs, atol=tolerance)


def test_the_names_are_those_of_detect_head() -> None:
    assert set(NAMED) == set(HEAD_NAMES)


@pytest.mark.parametrize("measure", ["mul", "abs"])
@pytest.mark.parametrize("rows", ["eligible", "all"])
def test_a_match_is_the_sum_over_the_whole_matrix(measure: Any, rows: Any) -> None:
    rng = np.random.default_rng(1)
    mask = np.ones((2, 6), bool)
    mask[1, 4:] = False
    pattern = np.tril(rng.random((2, 3, 6, 6))) * mask[:, None, None, :]
    pattern /= pattern.sum(axis=-1, keepdims=True)
    matrix = np.tril(rng.random((2, 6, 6)) * (rng.random((2, 6, 6)) < 0.4))
    found = entries_of(matrix, is_query=mask, mask=mask, rows=rows)
    score = matched(
        torch.from_numpy(pattern),
        torch.from_numpy(found.query[:, None]),
        torch.from_numpy(found.key[:, None]),
        torch.from_numpy(found.value),
        torch.from_numpy(found.n_rows.astype(float)),
        measure=measure,
    )[..., 0].numpy()
    for b, h in np.ndindex(2, 3):
        seen = matrix[b] * mask[b][:, None] * mask[b][None]
        counted = mask[b] if rows == "all" else seen.any(axis=1)
        A, D = pattern[b, h][counted], seen[counted]
        expected = (A * D).sum() / A.sum() if measure == "mul" else 1 - abs(A - D).sum() / len(A)
        assert score[b, h] == pytest.approx(expected)


def test_a_matrix_that_looks_ahead_or_is_too_small_is_refused(bridge: TransformerBridge) -> None:
    ids = np.full((2, LENGTH), 5)
    for matrix in (np.ones((LENGTH, LENGTH)), np.eye(LENGTH - 1), np.eye(LENGTH) * np.nan):
        with pytest.raises(BadInput, match="lower triangular"):
            score_heads(bridge, ["pattern"], text=ids, length=LENGTH, pattern=matrix)


def test_an_unknown_head_or_no_pattern_at_all_is_refused(
    bridge: TransformerBridge, tmp_path: Path
) -> None:
    ids = np.full((2, LENGTH), 5)
    with pytest.raises(BadInput, match="needs a matrix"):
        score_heads(bridge, ["pattern"], text=ids, length=LENGTH)
    with pytest.raises(BadInput, match="give a .npy"):
        score_heads(bridge, ["pattern"], text=ids, length=LENGTH, pattern=str(tmp_path / "no.npy"))
    with pytest.raises(BadInput, match="no head 'first_token_head'"):
        detection_matrix("first_token_head", ids)
