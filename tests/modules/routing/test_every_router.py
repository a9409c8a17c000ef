import pytest
import torch

from interp.modules.routing.router import Layer, Lesson, chosen, expert_means
from interp.modules.routing.routers import routers
from interp.modules.routing.scores import activation_mass, captured, measured_by, output_norm

N, D, E, ROWS = 48, 16, 6, 600


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def lesson():
    """Experts whose neurons read alike, in shuffled order: there is something to route."""
    labels = torch.arange(N) % E
    rows = 3 * normal(E, D, seed=0)[labels] + 0.3 * normal(N, D, seed=1)
    layer = Layer(rows=rows, W_out=normal(N, D, seed=2), labels=labels, n_experts=E)
    x = normal(ROWS, D, seed=3)
    measure = measured_by("mass", layer)
    scores = measure((x @ rows.T).relu())
    return Lesson(layer=layer, x=x, scores=scores, measure=measure, seed=0)


@pytest.mark.parametrize("name", routers())
def test_a_router_scores_every_expert_and_edits_nothing(name, lesson):
    router = routers()[name]
    before = [t.clone() for t in (lesson.x, lesson.scores, lesson.layer.rows)]
    scorer = router.fit(lesson)
    value = lesson.x if router.reads == "input" else (lesson.x @ lesson.layer.rows.T).relu()
    copy = value.clone()
    scores = scorer(value)
    assert scores.shape == (ROWS, E)
    assert torch.isfinite(scores).all()
    assert torch.equal(value, copy)
    for old, new in zip(before, (lesson.x, lesson.scores, lesson.layer.rows), strict=True):
        assert torch.equal(old, new)
    assert torch.equal(router.fit(lesson)(value), scores)


def test_capture_rises_with_k_ends_at_one_and_no_router_beats_the_oracle(lesson):
    h = (lesson.x @ lesson.layer.rows.T).relu()
    curves = {}
    for name, router in routers().items():
        value = lesson.x if router.reads == "input" else h
        curve = captured(lesson.scores, router.fit(lesson)(value))
        curve = curve[lesson.scores.sum(dim=1) > 0]
        assert (curve.diff(dim=1) >= -1e-12).all()
        assert (curve[:, -1] == 1).all()
        curves[name] = curve
    for curve in curves.values():
        assert (curves["oracle"] - curve >= -1e-9).all()
    means = {name: curve.nanmean(dim=0) for name, curve in curves.items()}
    # Experts read alike here, so every router that looks at the input is far above chance.
    for name in ("similarity", "average", "learnt"):
        assert means[name][0] > means["chance"][0] + 0.2
    share = torch.arange(1, E + 1) / E
    torch.testing.assert_close(means["chance"], share.double(), atol=0.04, rtol=0)


def test_rows_with_nothing_to_capture_are_left_out():
    true = torch.tensor([[0.0, 0.0], [3.0, 1.0]])
    curve = captured(true, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert curve[0].isnan().all()
    assert curve[1].tolist() == [0.25, 1.0]


def test_of_equal_scores_the_first_experts_are_chosen():
    assert chosen(torch.zeros(1, 4), 2).tolist() == [[True, True, False, False]]


def test_mass_and_norm_are_what_a_loop_gives():
    labels = torch.tensor([0, 1, 0, 1])
    layer = Layer(rows=normal(4, 3, seed=0), W_out=normal(4, 3, seed=1), labels=labels, n_experts=2)
    h = normal(5, 4, seed=2)
    for e in range(2):
        members = [n for n in range(4) if labels[n] == e]
        mass, written = torch.zeros(5), torch.zeros(5, 3)
        for n in members:
            mass += h[:, n].clamp(min=0)
            written += h[:, n, None] * layer.W_out[n]
        torch.testing.assert_close(activation_mass(h, layer)[:, e], mass)
        torch.testing.assert_close(output_norm(h, layer)[:, e], written.norm(dim=1))
    torch.testing.assert_close(expert_means(layer.rows, layer)[1], layer.rows[[1, 3]].mean(0))


def test_tokens_without_activation_do_not_stop_the_learnt_router(lesson):
    silent = lesson._replace(scores=torch.zeros_like(lesson.scores))
    assert torch.isfinite(routers()["learnt"].fit(silent)(lesson.x)).all()
