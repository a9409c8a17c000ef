"""Retrieval heads: the planted one is named, masking it is what loses the needle."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention.geometry import HeadGeometry
from interp.heads.columns import Head
from interp.heads.retrieval.decoding import Decoded, decode
from interp.heads.retrieval.haystack import (
    Haystack,
    Needle,
    Span,
    key_value_haystacks,
    needle_haystacks,
    read_needles,
)
from interp.heads.retrieval.hits import hit_positions, random_span, recall, retrieval_share
from interp.heads.retrieval.making import lines_for
from interp.heads.retrieval.masking import mask_retrieval
from interp.heads.retrieval.run import Settings
from interp.heads.retrieval.score import score_retrieval
from interp.heads.scores import HeadScores
from interp.heads.tokens import regular_tokens
from interp.models.load import load
from interp.results.errors import BadInput
from tests.heads.retrieval.planted import INDUCTION, write_planted

QUIET: Callable[[str], None] = lambda _: None  # noqa: E731
LINES = Settings(n_haystacks=12, n_lines=6, n_value=2)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> TransformerBridge:
    return load(write_planted(tmp_path_factory.mktemp("retrieval") / "planted"), device="cpu")


@pytest.fixture(scope="module")
def scores(planted: TransformerBridge) -> HeadScores:
    return score_retrieval(planted, settings=LINES, draws=500, say=QUIET)


def a_decoding(tokens: list[int], written: list[int], looked: list[int], needle: Span) -> Decoded:
    return Decoded(
        haystack=Haystack(tokens=np.array(tokens), needle=needle),
        written=np.array(written),
        looked=np.array(looked)[:, None, None],
    )


def test_the_planted_head_finds_every_needle_and_no_other_head_any(scores: HeadScores) -> None:
    found = scores.array("score", "retrieval")
    assert found[INDUCTION] == 1.0
    assert (np.delete(found.ravel(), INDUCTION[0] * 4 + INDUCTION[1]) == 0).all()
    assert scores.significant("retrieval") == [Head(*INDUCTION)]
    assert scores.notes["retrieval"]["solved"] == 12
    assert scores.array("null_mean", "retrieval").max() < 0.3
    assert scores.array("looking", "retrieval")[INDUCTION] == 1.0


def test_without_its_retrieval_head_the_model_finds_nothing(
    planted: TransformerBridge, scores: HeadScores
) -> None:
    other = lines_for(planted, regular_tokens(planted), LINES, np.random.default_rng(9))
    found = mask_retrieval(planted, scores, other, k=1, draws=3)
    assert found.plain.mean() == 1.0 and found.masked.mean() < 0.2
    assert (found.random == 1.0).all() and found.p == 0.25
    assert found.drop.low > 0.8


@pytest.mark.parametrize("style", ["gpt2", "llama", "neox"])
def test_step_by_step_is_the_argmax_of_whole_passes(
    style: str, model_directory: Callable[[str], Path]
) -> None:
    geometry = HeadGeometry.of(load(model_directory(style), device="cpu"))
    rng = np.random.default_rng(1)
    rows = [Haystack(tokens=rng.integers(4, 60, size=n), needle=Span(2, 4)) for n in (9, 7, 9, 9)]
    found = decode(geometry, rows, max_new_tokens=4, batch_size=2)
    for one, row in zip(found, rows, strict=True):
        tokens = row.tokens.tolist()
        for step in range(4):
            with torch.no_grad():
                logits, cache = geometry.bridge.run_with_cache(torch.tensor([tokens]))
            for layer in range(geometry.n_layers):
                pattern = cache[geometry.pattern_site(layer)][0, :, -1]
                best = pattern.max(-1).values
                chosen = pattern[torch.arange(geometry.n_heads), one.looked[step, layer]]
                torch.testing.assert_close(chosen, best, atol=1e-5, rtol=0)
            tokens.append(int(logits[0, -1].argmax()))
        assert one.written.tolist() == tokens[len(row.tokens) :]


def test_writing_ends_at_an_end_token(planted: TransformerBridge) -> None:
    geometry = HeadGeometry.of(planted)
    row = Haystack(tokens=np.array([0, 5, 6, 7, 8, 9, 5]), needle=Span(2, 4))
    (whole,) = decode(geometry, [row], max_new_tokens=3)
    assert whole.written.tolist() == [6, 7, 8]
    (short,) = decode(geometry, [row], max_new_tokens=3, ends={7})
    assert short.written.tolist() == [6] and len(short.looked) == 1


def test_a_position_counts_once_and_only_while_its_token_is_written() -> None:
    tokens, needle = [9, 1, 2, 3, 4, 9], Span(1, 5)
    twice = a_decoding(tokens, [1, 1, 2, 3], [1, 1, 3, 3], needle)
    assert hit_positions(twice).ravel().tolist() == [1, -1, -1, 3]
    assert retrieval_share(hit_positions(twice), needle).item() == 0.5
    everything = a_decoding(tokens, [1, 2, 3, 4, 1, 2], [1, 2, 3, 4, 1, 2], needle)
    assert retrieval_share(hit_positions(everything), needle).item() == 1.0
    beside = a_decoding([1, *tokens], [1], [0], Span(2, 6))
    assert retrieval_share(hit_positions(beside), Span(2, 6)).item() == 0.0


def test_recall_counts_a_token_as_often_as_the_needle_has_it() -> None:
    needle = Span(0, 4)
    assert recall(a_decoding([1, 1, 2, 3], [1, 1, 1, 2], [0] * 4, needle)) == 0.75
    assert recall(a_decoding([1, 1, 2, 3], [8, 8], [0] * 2, needle)) == 0.0


def test_a_random_span_is_as_long_as_the_needle_and_beside_it() -> None:
    one = a_decoding(list(range(9)), [1], [0], Span(3, 5))
    rng = np.random.default_rng(0)
    drawn = {random_span(one, rng) for _ in range(200)}
    assert drawn == {Span(s, s + 2) for s in (0, 1, 5, 6, 7)}


def test_every_line_is_asked_for_and_its_value_is_the_needle() -> None:
    rows = key_value_haystacks(
        np.arange(4, 60), bos_id=1, n=10, n_lines=5, n_value=3, rng=np.random.default_rng(0)
    )
    for row in rows:
        place = row.needle.start
        assert row.tokens[0] == 1 and row.tokens[-1] == row.tokens[place - 1]
        assert row.n_needle == 3 and len(row.elsewhere) == 4
        assert len(set(row.tokens.tolist())) == 1 + 1 + 5 * 4
    starts = sorted(row.needle.start for row in rows)
    assert starts == sorted([2 + 5 * line for line in range(5)] * 2)


def test_a_model_that_solves_nothing_has_no_retrieval_head(
    model_directory: Callable[[str], Path],
) -> None:
    bridge = load(model_directory("llama"), device="cpu")
    few = Settings(n_haystacks=3, n_lines=4, n_value=2)
    found = score_retrieval(bridge, settings=few, draws=20, say=QUIET)
    assert found.notes["retrieval"]["solved"] == 0
    assert np.isnan(found.score).all() and found.top("retrieval") == []


def test_a_needle_stands_where_its_depth_says(model_directory: Callable[[str], Path]) -> None:
    bridge = load(model_directory("gpt2"), device="cpu")
    assert bridge.tokenizer is not None
    rows = needle_haystacks(
        np.full(40, 50),
        [Needle("w20 w21 w22", "w20 ?")],
        bridge.tokenizer,
        lengths=[24],
        depths=[0.0, 0.5, 1.0],
        bos_id=1,
    )
    assert [len(row.tokens) for row in rows] == [24] * 3
    assert [row.tokens[slice(*row.needle)].tolist() for row in rows] == [[20, 21, 22]] * 3
    starts = [row.needle.start for row in rows]
    assert starts[0] == 1 and starts[0] < starts[1] < starts[2]
    with pytest.raises(BadInput, match="choose other lengths"):
        needle_haystacks(
            np.full(4, 50),
            [Needle("w20", "w20")],
            bridge.tokenizer,
            lengths=[24],
            depths=[0.5],
            bos_id=None,
        )


def test_needles_in_the_users_text_run_through(
    planted: TransformerBridge, model_directory: Callable[[str], Path], tmp_path: Path
) -> None:
    bridge = load(model_directory("gpt2"), device="cpu")
    (tmp_path / "text.txt").write_text("w30 w31 w32 w33 " * 30)
    needles = tmp_path / "needles.jsonl"
    needles.write_text('{"needle": "w20 w21", "question": "w20 w22"}\n')
    small = Settings(lengths=(20, 30), depths=(0.0, 1.0), max_new_tokens=5)
    said: list[str] = []
    found = score_retrieval(
        bridge,
        text=tmp_path / "text.txt",
        needles=needles,
        settings=small,
        draws=20,
        say=said.append,
    )
    assert found.notes["retrieval"]["haystacks"] == 4
    assert said[0].startswith("retrieval: 4 prompts and 20 written tokens, about ")
    with pytest.raises(BadInput, match="no tokenizer"):
        score_retrieval(planted, text="x", needles=needles, say=QUIET)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[", "line 2 is not JSON"),
        ("3", "line 2 lacks the text field 'needle'"),
        ('{"needle": "a b"}', "line 2 lacks the text field 'question'"),
        ('{"needle": "\\udc00", "question": "b"}', "line 2: needle holds half a character"),
    ],
)
def test_the_wrong_needle_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "n.jsonl").write_text('{"needle": "a", "question": "b"}\n' + line + "\n")
    with pytest.raises(BadInput, match=message):
        read_needles(tmp_path / "n.jsonl")


def test_settings_that_cannot_be_are_refused(planted: TransformerBridge) -> None:
    with pytest.raises(BadInput, match="ask for fewer lines"):
        score_retrieval(planted, settings=Settings(n_lines=40), say=QUIET)
    with pytest.raises(BadInput, match="shares of the text"):
        Settings(depths=(1.5,))
    with pytest.raises(BadInput, match="at least 1"):
        Settings(n_value=0)
