"""Figures of heads draw what the finding holds; the smallest and an all-NaN one too."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from interp.heads.attention.looking import patterns_on
from interp.heads.columns import Head
from interp.heads.scores import HeadScores
from interp.models.load import load
from interp.plots.circuitsvis import html_page
from interp.plots.heads.ablation import QUADRANTS, found_against_random, score_against_effect
from interp.plots.heads.emergence import heads_over_checkpoints, lags
from interp.plots.heads.labels import apart
from interp.plots.heads.levels import levels_over_checkpoints, levels_over_shots
from interp.plots.heads.pages import (
    ablation_figures,
    emergence_figures,
    icl_figures,
    scores_figures,
)
from interp.plots.heads.pattern import head_patterns
from interp.plots.heads.scores import MARK, maps_beside, rate_and_strength, score_map, volcano
from interp.results.errors import BadInput, Mismatch
from tests.plots.heads.making import (
    PROVENANCE,
    a_column,
    an_ablation,
    an_emergence,
    some_levels,
    some_scores,
)
from tests.plots.hostile import HOSTILE


def traces(figure: go.Figure) -> Any:
    return figure.data


def title(figure: go.Figure) -> str:
    layout: Any = figure.layout
    return layout.title.text


def emptied(scores: HeadScores) -> HeadScores:
    blank = np.full_like(scores.score, np.nan)
    names = ("score", "p", "p_adj", "q", "z", "null_mean", "null_sd", "ci_low", "ci_high")
    extras = {name: blank for name in scores.extras}
    return replace(scores, **{name: blank for name in names}, extras=extras)


def test_a_map_shows_what_is_above_chance_and_marks_what_is_significant() -> None:
    scores = some_scores()
    (heat,) = traces(score_map(scores, "a"))
    np.testing.assert_allclose(heat.z, scores.score[..., 0] - 0.2)
    assert (np.array(heat.text) == MARK).tolist() == [[False] * 3, [False, True, False]]
    assert heat.zmin == -heat.zmax
    assert heat.customdata[0][0][0] == "not tested"
    assert list(heat.customdata[1][1]) == [
        "0.900 [0.800, 1.000], n = 40",
        "0.200 ± 0.050",
        "z 14.0, p adj 0.001, q 0.001",
    ]
    assert title(score_map(scores, "a")) == f"a: 1 of 5 ({MARK} p adj < 0.05)"


def test_a_volcano_has_every_tested_head_once_and_names_the_significant() -> None:
    scores = some_scores((a_column("a"), a_column("b"), a_column("c", unit="z")))
    lines = traces(volcano(scores))
    assert [line.name for line in lines] == ["a", "b"]
    assert [len(line.x) for line in lines] == [5, 5]
    assert [name for name in lines[0].text if name] == ["L1H1"]
    np.testing.assert_allclose(max(lines[0].y), 3)
    with pytest.raises(BadInput, match="one axis has one unit"):
        volcano(scores, ["a", "c"])


def test_the_quadrants_count_every_head_that_has_both() -> None:
    figure = score_against_effect(some_scores(), an_ablation(), "a")
    counts = {line.name: list(line.x) for line in traces(figure)}
    assert [len(x) for x in counts.values()] == [1, 0, 1, 3]
    assert list(counts) == [
        f"{name}: {n}" for (name, _), n in zip(QUADRANTS, (1, 0, 1, 3), strict=True)
    ]
    assert traces(figure)[0].text[0] == "L1H1" and traces(figure)[2].text[0] == "L0H2"
    assert traces(figure)[0].error_y.arrayminus[0] == 0.5


def test_effects_of_something_else_are_refused() -> None:
    with pytest.raises(Mismatch, match="one model"):
        score_against_effect(some_scores(n_heads=4), an_ablation(), "a")
    with pytest.raises(BadInput, match="was not ablated: there are all, other"):
        score_against_effect(some_scores(), an_ablation(relations=("other",)), "a")
    with pytest.raises(BadInput, match="beside scores"):
        maps_beside(some_scores(), ["a"], effect=np.zeros((1, 1)))


def test_maps_of_one_unit_share_a_scale_and_an_untested_map_says_so() -> None:
    scores = some_scores((a_column("strong"), a_column("faint"), a_column("none", unit="nats")))
    score = scores.score.copy()
    score[..., 1] = 0.2 + (score[..., 1] - 0.2) * 0.01
    score[..., 2] = np.nan
    figure = maps_beside(replace(scores, score=score), ["strong", "faint", "none"])
    assert [one.coloraxis for one in traces(figure)] == ["coloraxis", "coloraxis", "coloraxis2"]
    assert figure.layout.coloraxis.cmax == pytest.approx(0.7)
    said = [annotation.text for annotation in figure.layout.annotations]
    assert said.count("no head could be tested") == 1 and "grey: not tested" in said


def test_labels_that_would_stand_on_one_another_are_left_to_the_pointer() -> None:
    assert apart([(0.0, 0.0), (0.01, 0.01), (1.0, 1.0), (0.01, 0.5)]) == [True, False, True, True]


def test_where_no_random_group_exists_the_figure_says_so() -> None:
    figure = found_against_random(an_ablation(random_heads={"found": ()}))
    assert len(traces(figure)) == 1
    assert "no random group exists" in figure.layout.annotations[0].text


def test_found_heads_stand_beside_every_random_group() -> None:
    box, own = traces(found_against_random(an_ablation()))
    assert len(box.y) == 4 and box.name.startswith("4 random groups")
    assert list(own.y) == [1.0] and own.name == "found: 1 heads"


def test_other_measures_stand_beside_the_same_without_random_heads() -> None:
    found = an_ablation(
        others=("loss reduction",),
        other_effect=np.array([[[[0.4, 0.3, 0.5]]]]),
        other_random=np.full((1, 1, 4, 1), 0.1),
        other_base=np.zeros((1, 3)),
        other_over_random=np.zeros((1, 1, 1, 3)),
        other_p=np.ones((1, 1, 1)),
    )
    figure = ablation_figures(found)["others-against-random"]
    box, own = traces(figure)
    assert list(box.y) == [0.1] * 4 and list(own.y) == [0.4] and list(own.x) == ["mean"]


def test_a_correlation_is_shown_for_the_detector_it_was_taken_with() -> None:
    found = an_ablation(correlation=np.full((3, 2, 3), [0.5, 0.01, 9]))
    shown = score_against_effect(some_scores(), found, "a")
    assert title(shown) == "a: score and effect, rho 0.5, p 0.01, n = 9"
    other = score_against_effect(some_scores(), replace(found, score_name="ren2024"), "a")
    assert title(other) == "a"


def test_presets_stand_side_by_side_with_the_effect_last() -> None:
    scores = some_scores((a_column("literal", relation="r"), a_column("ours", relation="r")))
    effect = np.arange(6.0).reshape(2, 3)
    figure = maps_beside(scores, ["literal", "ours"], effect=effect)
    assert len(traces(figure)) == 3
    np.testing.assert_array_equal(traces(figure)[2].z, effect)
    assert "presets-r" in scores_figures(scores)


def test_rate_and_strength_show_heads_too_seldom_for_a_test() -> None:
    scores = some_scores()
    (points,) = traces(rate_and_strength(scores, "a"))
    assert len(points.x) == 6
    np.testing.assert_array_equal(points.marker.color, scores.extras["per_opportunity"].ravel())
    with pytest.raises(BadInput, match="expected scores of a relation"):
        rate_and_strength(replace(scores, extras={}), "a")


def test_levels_rise_over_checkpoints_as_the_finding_says() -> None:
    curves = some_levels()
    lines = traces(levels_over_checkpoints(curves))
    pattern = next(line for line in lines if line.name.startswith("pattern"))
    assert list(pattern.x) == ["0", "100", "200"] and list(pattern.y) == [0.0, 0.5, 1.0]
    own = next(line for line in lines if line.name == "own text")
    np.testing.assert_allclose(own.y, (curves.loss[:, 0, 1] - curves.loss[:, 0, 0]).mean(-1))
    shots = traces(levels_over_shots(curves, step=1))
    assert [list(line.y) for line in shots[:2]] == [[0.5, 0.5], [0.0, 0.0]]


def test_curves_stand_by_relation_with_their_change_points() -> None:
    found = an_emergence()
    figure = heads_over_checkpoints(found)
    lines = {line.name: list(line.y) for line in traces(figure)}
    assert lines == {
        "L1H2": [0, 0, 1, 1],
        "answers": [0, 0, 1, 1],
        "answers, heads ablated": [0.1] * 4,
        "r icl": [0, 0, 1, 1],
    }
    layout: Any = figure.layout
    at = [shape.x0 for shape in layout.shapes if shape.type == "line"]
    assert at == [1.5] * 3
    assert [(s.x0, s.x1) for s in layout.shapes if s.type == "rect"] == [(1, 3)] * 3
    # The pair without a change point stands first, at the foot, without a point.
    (points,) = traces(lags(found))
    assert np.isnan(points.x[0]) and points.x[1] == 1.0


def test_every_finding_is_drawn_whole_small_or_empty() -> None:
    one = some_scores(n_layers=1, n_heads=1)
    for scores in (one, some_scores(), emptied(some_scores()), emptied(one)):
        for figure in scores_figures(scores).values():
            figure.to_json()
    blank = np.full((2, 3, 2, 3), np.nan)
    for found in (an_ablation(), an_ablation(attributed=blank, patched=blank, ablated=blank)):
        for figure in ablation_figures(found, some_scores()).values():
            assert figure.layout.meta["provenance"]["command"] == "interp test"  # pyright: ignore
    for found in (an_emergence(), an_emergence(n_steps=1), replace(an_emergence(), lags=())):
        for figure in emergence_figures(found).values():
            figure.to_json()
    for curves in (some_levels(), some_levels(n_steps=1), some_levels(names=())):
        for figure in icl_figures(curves).values():
            figure.to_json()


def test_names_from_a_file_are_text() -> None:
    for name in (*HOSTILE[:6], "../../x"):
        scores = some_scores((a_column(name, relation=name, unit=name),))
        figures = scores_figures(scores)
        figures |= ablation_figures(an_ablation(relations=(name,), chosen_on=name), scores)
        figures |= icl_figures(some_levels(names=(name,)))
        figures |= emergence_figures(an_emergence(name=name))
        for file, figure in figures.items():
            assert "/" not in file and "<" not in file
            figure.update_layout(meta=None)
            shown = str(figure.to_json())
            assert "<script" not in shown and "<img" not in shown and "<svg" not in shown


def test_a_pattern_is_the_models_and_a_hostile_token_is_text(
    model_directory: Callable[[str], Path],
) -> None:
    bridge = load(model_directory("llama"), device="cpu")
    heads = [Head(2, 1), Head(0, 3)]
    looked = patterns_on(bridge, "w5 w9 w5", heads)
    assert looked.tokens[-3:] == ["w5", "w9", "w5"]
    assert bridge.tokenizer is not None
    ids = [bridge.tokenizer.convert_tokens_to_ids(token) for token in looked.tokens]
    with torch.no_grad():
        _, cache = bridge.run_with_cache(torch.tensor([ids]))
    for pattern, (layer, head) in zip(looked.pattern, heads, strict=True):
        expected = cache[f"blocks.{layer}.attn.hook_pattern"][0, head].numpy()
        np.testing.assert_allclose(pattern, expected, atol=1e-6)
    tokens = [HOSTILE[0], *looked.tokens[1:]]
    page = html_page(
        [head_patterns(tokens, looked.pattern, heads)], title="x", provenance=PROVENANCE
    )
    assert "<script>alert" not in page and "L2H1" in page
    with pytest.raises(BadInput, match="no head L7H0: this model has L0H0 to L2H3"):
        patterns_on(bridge, "w5", [Head(7, 0)])
    with pytest.raises(BadInput, match="1 heads and 2 patterns"):
        head_patterns(tokens, looked.pattern, heads[:1])
