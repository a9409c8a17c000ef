"""What holds for every detector in the folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.relations import Entity, RelatedSequence, RelationCorpus, Triplet
from interp.heads import detectors
from interp.heads.detector import Detector
from interp.heads.registry import detectors_named, registry
from interp.heads.score import score_heads
from interp.heads.scores import HeadScores
from interp.results.errors import BadInput
from tests.heads.making import tiny_bridge
from tests.models import D_VOCAB

LENGTH, SEQUENCES = 20, 12
FOUND = registry()
SHARED = [d.name for d in FOUND.values() if (d.shares or d.derive) and not d.only_named]


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def bridge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    return tiny_bridge(request.param, tmp_path_factory.mktemp("models"))


def related() -> RelationCorpus:
    rng = np.random.default_rng(0)
    entities = tuple(Entity(str(i), "t", ((2 * i + 1, 2 * i + 2),)) for i in range(5))
    triplets = (Triplet(0, 0, 1, ()), Triplet(2, 0, 3, ()))
    rows = [
        RelatedSequence(
            rng.permutation(np.arange(4, D_VOCAB))[:LENGTH], entities, triplets, i, None
        )
        for i in range(SEQUENCES)
    ]
    return RelationCorpus.from_sequences(rows, relations=["r"])


def scored(bridge: TransformerBridge, **changed: int) -> HeadScores:
    settings: dict[str, Any] = {
        "sequences": SEQUENCES,
        "length": LENGTH,
        "draws": 49,
        "bootstrap": 20,
        **changed,
    }
    return score_heads(bridge, SHARED, relations=related(), **settings)


@pytest.fixture(scope="module")
def scores(bridge: TransformerBridge) -> HeadScores:
    return scored(bridge)


def test_every_file_of_the_folder_is_a_detector_of_its_name() -> None:
    files = {p.stem for p in Path(detectors.__path__[0]).glob("*.py")} - {"__init__"}
    assert set(FOUND) == files


@pytest.mark.parametrize("detector", FOUND.values(), ids=FOUND)
def test_a_detector_says_what_it_is_and_how_it_runs(detector: Detector) -> None:
    for text in (detector.definition, detector.source, detector.unit, detector.chance):
        assert text.strip()
    assert detector.null.strip()
    ways = (detector.observe, detector.run, detector.derive)
    assert sum(way is not None for way in ways) == 1
    assert set(detector.after) <= set(FOUND)
    assert bool(detector.after) == (detector.derive is not None)


def test_scores_lie_in_the_range_their_column_states(scores: HeadScores) -> None:
    for i, column in enumerate(scores.columns):
        known = scores.score[..., i][~np.isnan(scores.score[..., i])]
        low = -np.inf if column.low is None else column.low
        high = np.inf if column.high is None else column.high
        assert ((known >= low - 1e-6) & (known <= high + 1e-6)).all(), column.name


def test_a_score_has_its_null_its_p_and_its_number_of_sequences(scores: HeadScores) -> None:
    tested = ~np.isnan(scores.score)
    for name in ("null_mean", "null_sd", "z", "p", "p_adj", "q"):
        assert np.isfinite(getattr(scores, name)[tested]).all(), name
        if name.startswith(("p", "q", "z")):
            assert np.isnan(getattr(scores, name)[~tested]).all(), name
    assert ((scores.p[tested] > 0) & (scores.p_adj[tested] <= 1)).all()
    assert (scores.n_sequences[tested] > 0).all()


def test_every_shared_detector_has_a_column(scores: HeadScores) -> None:
    assert {column.detector for column in scores.columns} == set(SHARED)


def test_batches_of_another_size_give_the_same_scores(
    bridge: TransformerBridge, scores: HeadScores
) -> None:
    other = scored(bridge, batch_size=5)
    np.testing.assert_allclose(other.score, scores.score, atol=1e-4)


def test_the_same_seed_gives_the_same_p_and_another_seed_other_draws(
    bridge: TransformerBridge, scores: HeadScores
) -> None:
    np.testing.assert_array_equal(scored(bridge).p, scores.p)
    column = scores.column("prefix_matching")
    other = scored(bridge, seed=1)
    assert not np.array_equal(other.null_mean[..., column], scores.null_mean[..., column])


def test_an_unknown_detector_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="no detector 'previous'.*previous_token.*interp heads list"):
        detectors_named(["previous"])
