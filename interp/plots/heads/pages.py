"""The figures of one finding by name, as `--figures` writes them."""

import plotly.graph_objects as go

from interp.heads.ablation.result import EFFECTS, AblationResult
from interp.heads.emergence.result import HeadEmergence
from interp.heads.icl.levels import LevelCurves
from interp.heads.scores import HeadScores
from interp.plots.heads.ablation import (
    found_against_random,
    others_against_random,
    score_against_effect,
)
from interp.plots.heads.emergence import heads_over_checkpoints, lags, turnover
from interp.plots.heads.levels import levels_over_checkpoints, levels_over_shots
from interp.plots.heads.scores import maps_beside, rate_and_strength, score_map, volcano


def scores_figures(scores: HeadScores) -> dict[str, go.Figure]:
    """Maps of every detector's columns and a volcano of every unit.

    Of relations in which a head is significant, rate against strength; of one scored by several
    presets, these side by side.
    """
    detectors = dict.fromkeys(column.detector for column in scores.columns)
    found = {f"map-{_file(name)}": _maps(scores, name) for name in detectors}
    units = list(dict.fromkeys(column.unit for column in scores.columns))
    for unit in units:
        names = [column.name for column in scores.columns if column.unit == unit]
        found[f"volcano-{_file(unit)}"] = volcano(scores, names)
    if "rate" in scores.extras:
        related = [column.name for column in scores.columns if column.relation is not None]
        shown = [name for name in related if scores.significant(name)]
        found |= {f"rate-{_file(name)}": rate_and_strength(scores, name) for name in shown}
    return found | _presets_beside(scores)


def ablation_figures(
    found: AblationResult, scores: HeadScores | None = None
) -> dict[str, go.Figure]:
    """Found heads against random ones under every measure; with scores, the quadrants."""
    figures = {
        f"found-against-random-{measure}": found_against_random(found, measure=measure)
        for measure in ("margin", "loss", "accuracy")
    }
    if found.others:
        figures["others-against-random"] = others_against_random(found)
    columns = [] if scores is None else [c for c in scores.columns if c.relation in found.relations]
    for column in columns:
        for effect in EFFECTS:
            figure = score_against_effect(scores, found, column.name, effect=effect)  # pyright: ignore
            figures[f"score-against-{effect}-{_file(column.name)}"] = figure
    return figures


def icl_figures(curves: LevelCurves) -> dict[str, go.Figure]:
    """Levels over lines shown at the last checkpoint and, of several, over training."""
    figures = {"levels-over-shots": levels_over_shots(curves)} if curves.tasks else {}
    if len(curves.steps) > 1 or curves.windows:
        figures["levels-over-checkpoints"] = levels_over_checkpoints(curves)
    return figures


def emergence_figures(found: HeadEmergence) -> dict[str, go.Figure]:
    """Heads and what they serve over training, lags between their changes, and turnover."""
    figures = {"heads-over-checkpoints": heads_over_checkpoints(found), "turnover": turnover(found)}
    return figures | ({"lags": lags(found)} if found.lags else {})


def _maps(scores: HeadScores, detector: str) -> go.Figure:
    names = [column.name for column in scores.columns if column.detector == detector]
    return score_map(scores, names[0]) if len(names) == 1 else maps_beside(scores, names)


def _presets_beside(scores: HeadScores) -> dict[str, go.Figure]:
    """Where a relation was scored by several presets: its maps side by side."""
    by_relation: dict[str, list[str]] = {}
    for column in scores.columns:
        if column.relation is not None:
            by_relation.setdefault(column.relation, []).append(column.name)
    return {
        f"presets-{_file(relation)}": maps_beside(scores, names)
        for relation, names in by_relation.items()
        if len(names) > 1
    }


def _file(name: str) -> str:
    """A name as a file's: letters, digits, dot, dash and underscore."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name)[:80]
