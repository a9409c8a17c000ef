from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.relations.choices import PRESETS, RelationChoices
from interp.heads.relations.events import plan_events
from interp.heads.relations.run import tallies, tally_relations
from interp.heads.relations.tally import RelationTally
from interp.models.load import load
from interp.results.errors import Unsupported
from tests.heads.relations.making import literally, random_corpus

LENIENT = replace(PRESETS["relation"], least=0.0)
CHOICES = {
    "relation": PRESETS["relation"],
    "everything": RelationChoices(gate="none"),
    "probabilities": replace(LENIENT, read="prob"),
    "mass, typed": RelationChoices(gate="mass", alpha=0.1, candidates="typed"),
    "whole head": replace(LENIENT, operand="head"),
    "current": replace(LENIENT, operand="current"),
    "relation_static": PRESETS["relation_static"],
    "ren2024": replace(PRESETS["ren2024"], tau=1.3),
    "ren2024_dev": PRESETS["ren2024_dev"],
    "event mean, sink kept": replace(LENIENT, sink="keep", overlap="keep"),
}


STYLES = ("gpt2", "llama", "neox", "olmo2")
CASES = [(name, STYLES[i % 4]) for i, name in enumerate(CHOICES)] + [("relation", "llama")]


@pytest.mark.parametrize(("name", "style"), CASES)
def test_all_sums_are_those_of_a_loop_over_single_events(
    name: str, style: str, model_directory: Callable[[str], Path]
) -> None:
    bridge = _loaded(model_directory(style))
    corpus = random_corpus(n=3)
    plan = plan_events(corpus, CHOICES[name])
    tally = tallies(bridge, corpus, [plan], batch_size=2)[0]
    expected = literally(bridge, corpus, plan)
    assert sum(expected["n_gated"].values()) > 10
    for field in ("n_gated", "n_undefined", "weight", "share", "raised", "copying", "uniform"):
        found = _table(tally, getattr(tally, field))
        for key, value in expected[field].items():
            assert found[key] == pytest.approx(value, rel=1e-3, abs=1e-4), (field, key)
        assert found.sum() == pytest.approx(sum(expected[field].values()), rel=1e-3, abs=1e-3)
    labels = _table(tally, tally.label_share)
    for key, value in expected["labels"].items():
        np.testing.assert_allclose(labels[key], value, rtol=1e-3, atol=1e-4)


@cache
def _loaded(directory: Path) -> TransformerBridge:
    return load(directory)


def _table(tally: RelationTally, values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), tally.n_layers, tally.n_heads, *values.shape[2:])


def test_folded_norms_are_refused_where_raw_embeddings_are_read(
    model_directory: Callable[[str], Path],
) -> None:
    bridge = load(model_directory("gpt2"))
    bridge.enable_compatibility_mode(disable_warnings=True)
    with pytest.raises(Unsupported, match="folded"):
        tally_relations(bridge, random_corpus(n=2), preset="ren2024")


def test_folding_norms_changes_no_score_that_reads_the_residual(
    model_directory: Callable[[str], Path],
) -> None:
    corpus = random_corpus()
    as_trained = tally_relations(load(model_directory("gpt2")), corpus)
    folded_bridge = load(model_directory("gpt2"))
    folded_bridge.enable_compatibility_mode(disable_warnings=True)
    folded = tally_relations(folded_bridge, corpus)
    np.testing.assert_array_equal(as_trained.n_gated, folded.n_gated)
    np.testing.assert_allclose(as_trained.share, folded.share, atol=1e-4)
    np.testing.assert_allclose(as_trained.raised, folded.raised, atol=1e-4)
