"""Findings of heads put together by hand, for the tests of their figures."""

from typing import Any

import numpy as np

from interp.heads.ablation.result import AblationResult
from interp.heads.columns import Column, Head
from interp.heads.emergence.result import ARRAYS, Chosen, CurveFacts, HeadEmergence
from interp.heads.emergence.timing import ChangePoint, Lag
from interp.heads.icl.levels import AskedTask, LevelCurves, Said
from interp.heads.scores import HeadScores
from interp.results.provenance import Provenance

PROVENANCE = Provenance(
    command="interp test", model_hash="ab" * 32, corpus_hash=None, seed=0, versions={}, settings={}
)


def a_column(name: str, *, relation: str | None = None, unit: str = "share") -> Column:
    return Column(
        name=name,
        detector="relation",
        definition="how much",
        source="nowhere",
        version=1,
        unit=unit,
        low=0.0,
        high=1.0,
        chance="0",
        null="none",
        inputs="relations",
        relation=relation,
    )


def some_scores(
    columns: tuple[Column, ...] = (a_column("a", relation="r"),),
    *,
    n_layers: int = 2,
    n_heads: int = 3,
    seed: int = 0,
) -> HeadScores:
    """Head 1 of layer 1 is significant in every column, head 0 of layer 0 is not tested."""
    rng = np.random.default_rng(seed)
    shape = (n_layers, n_heads, len(columns))
    score, p = rng.uniform(0.1, 0.5, shape), rng.uniform(0.1, 1, shape)
    if min(n_layers, n_heads) > 1:
        score[1, 1], p[1, 1] = 0.9, 0.001
        score[0, 0], p[0, 0] = np.nan, np.nan
    blank = {name: rng.uniform(0, 1, shape) for name in ("rate", "strength", "per_opportunity")}
    return HeadScores(
        columns=columns,
        score=score,
        null_mean=np.full(shape, 0.2),
        null_sd=np.full(shape, 0.05),
        z=(score - 0.2) / 0.05,
        p=p,
        p_adj=p,
        q=p,
        ci_low=score - 0.1,
        ci_high=score + 0.1,
        n_events=np.full(shape, 90.0),
        n_sequences=np.full(shape, 40.0),
        provenance=PROVENANCE,
        extras=blank,
    )


def an_ablation(
    *, relations: tuple[str, ...] = ("r",), shape: tuple[int, int] = (2, 3), **changed: Any
) -> AblationResult:
    """Head 1 of layer 1 and head 2 of layer 0 matter, head 0 of layer 0 was not tried."""
    n, draws = 1 + len(relations), 4
    single = np.zeros((*shape, n, 3)) + [0.0, -0.1, 0.1]
    if min(shape) > 1:
        single[1, 1] = single[0, 2 % shape[1]] = [2.0, 1.5, 2.5]
        single[0, 0] = np.nan
    groups = np.zeros((1, 1, 3, n, 3)) + [1.0, 0.8, 1.2]
    content: dict[str, Any] = {
        "groups": {"found": (Head(0, 0),)},
        "conditions": (("mean", "event"),),
        "relations": relations,
        "base": np.zeros((3, n, 3)),
        "effect": groups,
        "random_heads": {"found": ((Head(0, 0),),) * draws},
        "random": np.linspace(0, 0.1, draws * 3 * n).reshape(1, 1, draws, 3, n),
        "random_mean": groups * 0,
        "over_random": groups,
        "p": np.full((1, 1, 3, n), 0.2),
        "n_events": np.full(n, 90),
        "n_sequences": np.full(n, 40),
        "corruption": "tails",
        "corruption_drop": np.zeros((2, n, 3)),
        "attributed": single,
        "patched": single,
        "ablated": single,
        "score": np.zeros((*shape, n)),
        "score_name": "relation",
        "correlation": np.full((3, n, 3), np.nan),
        "others": (),
        "other_base": np.zeros((0, 3)),
        "other_effect": np.zeros((1, 1, 0, 3)),
        "other_random": np.zeros((1, 1, draws, 0)),
        "other_over_random": np.zeros((1, 1, 0, 3)),
        "other_p": np.zeros((1, 1, 0)),
        "chosen_on": "other documents",
        "dropped": {},
        "statements": (),
        "provenance": PROVENANCE,
    }
    return AblationResult(**(content | changed))


def some_levels(*, n_steps: int = 3, names: tuple[str, ...] = ("binary",)) -> LevelCurves:
    """The share of right answers is 0 at the first checkpoint and 1 at the last."""
    shape = (n_steps, len(names), 2, 10)
    said = Said.empty(shape)
    for step in range(n_steps):
        for level in (said.format, said.pattern, said.legal):
            level[step, ..., : round(10 * step / max(n_steps - 1, 1))] = True
    loss = np.random.default_rng(0).uniform(1, 2, (n_steps, 1, 3, 6))
    task = {"kind": "binary", "labels": ("0", "1"), "chance": 0.5, "majority": 0.5}
    more: dict[str, Any] = {"format_chance": 0.1, "n_words": {}, "n_given": {}}
    return LevelCurves(
        models=tuple(f"m@{step}" for step in range(n_steps)),
        steps=tuple(range(0, 100 * n_steps, 100)),
        model_hashes=(None,) * n_steps,
        tasks=tuple(AskedTask(name=name, **task, **more) for name in names),
        shots=(0, 4),
        said=said,
        shuffled=Said.empty(shape),
        windows=((5, 5),),
        loss=loss,
        provenance=PROVENANCE,
    )


def an_emergence(*, name: str = "r", n_steps: int = 4) -> HeadEmergence:
    """A head, its relation's answers and answers without it; all but the last rise at step 20."""
    steps = tuple(range(0, 10 * n_steps, 10))
    arrays: dict[str, Any] = {array: np.full((n_steps, 2, 3, 1), 0.5) for array in ARRAYS}
    value = np.tile(np.arange(n_steps) >= 2, (4, 1)).astype(float)
    value[3] = 0.1
    kinds: tuple[Any, ...] = ("head", "level", "icl", "ablated")
    curves = tuple(
        CurveFacts(
            name=f"{name} {kind}",
            kind=kind,
            relation=None if kind == "icl" else name,
            heads=("L1H2",) if kind == "head" else (),
            statistic="per_opportunity" if kind == "head" else "accuracy",
            sample="documents",
            n=30,
        )
        for kind in kinds
    )
    jump = {"step_before": 10, "step_after": 20, "low": 20, "high": 30, "before": 0.0, "after": 1.0}
    none = dict.fromkeys(jump)
    changes = tuple(
        ChangePoint(
            curve=curve.name,
            kind="change" if place < 3 and n_steps > 3 else "none",
            bic_gain=1.0,
            share_change=0.9,
            **(jump if place < 3 and n_steps > 3 else none),  # pyright: ignore
        )
        for place, curve in enumerate(curves)
    )
    pair = {"later": f"{name} level", "earlier": f"{name} head", "steps": 0, "n_tested": 3}
    more: dict[str, Any] = {"share_draws": 1.0, "correlation": None, "p_together": None}
    return HeadEmergence(
        series="s",
        steps=steps,
        model_hashes=(None,) * n_steps,
        relations=(name,),
        preset="relation",
        chosen=(Chosen(relation=name, layer=1, head=2, score=0.9, p_adj=0.01),),
        crowded=(),
        n_choosing=10,
        n_tracing=10,
        **arrays,
        k=2,
        spearman=np.full((n_steps, 1), np.nan),
        jaccard=np.ones((n_steps, 1)),
        curves=curves,
        value=value,
        low=value - 0.1,
        high=value + 0.1,
        changes=changes,
        lags=(
            Lag(**pair, checkpoints=1.0, low=0.0, high=2.0, **more),
            Lag(**(pair | {"steps": None}), checkpoints=None, low=None, high=None, **more),
        ),
        provenance=PROVENANCE,
    )
