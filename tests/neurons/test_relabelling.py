"""Relabelling: what may change places, and that p of runs of tokens is a p."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from interp.neurons.functions import Exchanged, LabelledFunctions
from interp.neurons.labelling import labelled_functions
from interp.neurons.relabelling import (
    exchanged_of,
    labels_of_other_documents,
    relabelled,
    shifted_labels,
)
from interp.neurons.score import score_neurons, score_values
from interp.neurons.scores import NeuronScores
from tests.neurons.making import a_function, some_scores
from tests.neurons.stores import SITE, planted_store

N_TEXTS = 60
DOCUMENTS = np.repeat(np.arange(40), 12)


def test_what_changes_places_follows_from_where_labels_change() -> None:
    documents = np.array([0, 0, 1, 1, 2, 2])
    labels = np.array([1, 1, 0, 0, 1, 1], np.int8)
    assert exchanged_of(labels, documents) == "documents"
    assert exchanged_of(labels, np.arange(6)) == "rows"
    assert exchanged_of(np.array([1, 0, 0, 0, 1, 1], np.int8), documents) == "rotations"
    assert exchanged_of(np.array([1, -1, 0, -1, 1, -1], np.int8), documents) == "rows"


def test_documents_exchange_their_labels_whole_and_all_ways_are_drawn() -> None:
    labels = np.array([1, 1, -1, 0, 0, 0, 0, 1], np.int8)
    documents = np.array([5, 5, 5, 2, 2, 9, 9, 7])
    drawn = labels_of_other_documents(labels, documents, 300, np.random.default_rng(0))
    assert (drawn[:, 2] == -1).all()
    of_document = drawn[:, [0, 3, 5, 7]]
    np.testing.assert_array_equal(drawn[:, [1, 4, 6]], of_document[:, :3])
    assert (of_document.sum(axis=1) == 2).all()
    assert len(np.unique(of_document, axis=0)) == 6


def test_rotations_reach_along_the_whole_text_and_not_only_its_next_rows() -> None:
    labels = np.zeros(1000, np.int8)
    labels[0] = 1
    places = shifted_labels(labels, 100, np.random.default_rng(0)).argmax(axis=1)
    assert len(np.unique(places)) == 100
    assert places.min() < 100 and places.max() > 900
    assert shifted_labels(labels, 0, np.random.default_rng(0)).shape == (0, 1000)


def test_the_labels_as_they_are_come_first() -> None:
    labels = (np.arange(len(DOCUMENTS)) // 12 % 2).astype(np.int8)
    for exchanged in ("rows", "documents", "rotations"):
        drawn = relabelled(labels, DOCUMENTS, exchanged, 4, np.random.default_rng(1))
        np.testing.assert_array_equal(drawn[0], labels)
        assert drawn.shape == (5, len(labels))


def scored(seed: int, *, within_documents: bool, exchanged: Exchanged) -> NeuronScores:
    """Units that know nothing, half of them in runs as long as the labels', half without any."""
    rng = np.random.default_rng(seed)
    n = len(DOCUMENTS)
    values = rng.standard_normal((n, 40))
    values[:, :20] = 0.1 * values[:, :20] + np.repeat(rng.standard_normal((40, 20)), 12, axis=0)
    labels = np.repeat(rng.permutation(40) % 2, 12)
    if within_documents:
        # Runs that may begin anywhere in a document.
        labels = np.roll(labels, rng.integers(12))
    functions = LabelledFunctions(
        functions=(replace(a_function("noise", n=n // 2), exchanged=exchanged),),
        labels=labels[None].astype(np.int8),
        row_of=np.arange(n)[None],
        rows="tokens",
        document=DOCUMENTS,
    )
    return score_values(
        torch.from_numpy(values.astype(np.float32)),
        functions,
        site=SITE,
        pooling="token",
        n_permutations=60,
        seed=seed,
        provenance=some_scores().provenance,
    )


@pytest.mark.parametrize("within_documents", [False, True])
def test_p_is_uniform_for_tokens_in_runs_and_shuffled_tokens_would_not_give_it(
    within_documents: bool,
) -> None:
    right: Exchanged = "rotations" if within_documents else "documents"
    texts = [
        scored(seed, within_documents=within_documents, exchanged=right) for seed in range(N_TEXTS)
    ]
    best = np.array([scores.p_best()[0] for scores in texts])
    units = np.stack([scores.p[0] for scores in texts])
    for level in (0.05, 0.2, 0.5):
        error = 3 * np.sqrt(level * (1 - level) / N_TEXTS)
        assert abs(np.mean(best <= level) - level) < error
        for half in (slice(20), slice(20, 40)):
            # Units of one text share its labels: the error is taken over texts.
            shares = (units[:, half] <= level).mean(axis=1)
            assert abs(shares.mean() - level) < 3 * shares.std() / np.sqrt(N_TEXTS) + 0.01
    wrong = [
        scored(seed, within_documents=within_documents, exchanged="rows") for seed in range(12)
    ]
    assert max(scores.p_best()[0] for scores in wrong) <= 0.05
    assert np.mean([scores.p[0, :20] <= 0.05 for scores in wrong]) > 0.3


def test_a_store_of_tokens_keeps_the_document_of_every_row(tmp_path: Path) -> None:
    store = planted_store(tmp_path / "store")
    tokens = labelled_functions(store, ["answer", "kind"], rows="tokens", per_class=None)
    np.testing.assert_array_equal(tokens.document, np.repeat(np.arange(120), 4))
    assert [f.exchanged for f in tokens.functions] == ["documents", *["rotations"] * 3]
    documents = labelled_functions(store, ["answer"])
    np.testing.assert_array_equal(documents.document, np.arange(120))
    assert documents.functions[0].exchanged == "rows"
    # Four tokens of 120 documents each: a draw of ten rows a class still moves documents.
    few = labelled_functions(store, ["answer"], rows="tokens", per_class=10)
    assert few.functions[0].exchanged == "documents"


def test_planted_units_are_found_among_tokens_whose_documents_change_places(
    tmp_path: Path,
) -> None:
    store = planted_store(tmp_path / "store")
    found = score_neurons(store, site=SITE, labels=["answer"], pool="token", n_permutations=60)
    assert np.flatnonzero(found.specialised()[0]).tolist() == [17, 100]
    assert found.p_best()[0] == 1 / 61
