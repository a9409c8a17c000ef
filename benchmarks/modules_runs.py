"""What one sibling of functions shows: its neurons, its experts, and what they are needed for.

`python -m benchmarks.modules` gathers these over seeds; the tests ask them of the shipped models.
"""

from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

import interp
from benchmarks.modules_models import Trained
from interp.capture.store import ActivationStore
from interp.models.mlp_weights import mlp_weights
from interp.modules.functional import FunctionalExperts, functional_experts
from interp.modules.partition import Partition
from interp.modules.partitioning.coactivation import GraphSettings, partition_by_coactivation
from interp.modules.partitioning.weights import partition_by_weights
from interp.modules.perturbation import PerturbationResult, perturb
from interp.neurons.score import score_neurons
from interp.neurons.scores import NeuronScores
from probes.functions.known import SITES, known_partitions
from probes.functions.labelled import SHUFFLED, function_items, labelled_lines
from probes.functions.tasks import FUNCTIONS

LINES_SEED = 0
N_SCORED = 512
"""Sequences of each function that neurons are scored on: 512 against 512 of the others."""
N_ASKED = 128
"""Fresh sequences of each function, eight answers each, that losses are measured on."""
N_EXPERTS = 12
CHOSEN = 2
"""Experts a layer that are ablated for a function: as many as its block has."""
FRACTION = 0.1
FDR = 0.05
RULE = "published"
"""p at most 0.001 over all neurons, as the design was measured; by FDR it is reported."""
RANDOM_DRAWS = 20


class Scored:
    """One checkpoint's activations on the labelled lines, scored once for all that ask."""

    def __init__(self, trained: Trained, *, step: int = 2500, n: int = N_SCORED) -> None:
        self.trained = trained
        self.directory = trained.at(step)
        self._n = n
        self._place = TemporaryDirectory(prefix="interp-modules-")

    @cached_property
    def bridge(self) -> TransformerBridge:
        """The checkpoint in float32."""
        return interp.load(self.directory, device="cpu")

    @cached_property
    def store(self) -> ActivationStore:
        """The neurons of both layers on every token of the lines."""
        lines = labelled_lines(seed=LINES_SEED, n_per_function=self._n, model=self.directory)
        out = Path(self._place.name) / "store"
        return interp.record(self.bridge, lines, SITES, out, max_tokens=10**7, batch_size=256)

    @cached_property
    def scores(self) -> list[NeuronScores]:
        """How well every neuron of each layer detects every function, over answer positions."""
        return [score_neurons(self.store, site=site, labels=FUNCTIONS) for site in SITES]

    @cached_property
    def shuffled(self) -> list[NeuronScores]:
        """The same with the labels of other sequences."""
        return [score_neurons(self.store, site=site, labels=SHUFFLED) for site in SITES]

    def known(self) -> list[Partition]:
        """The planted split of every layer; in the control an arbitrary one."""
        model_hash = self.store.provenance.model_hash
        return known_partitions(seed=self.trained.seed, model_hash=model_hash)

    def by_weights(self) -> list[Partition]:
        """Balanced k-means of what neurons read."""
        return [
            partition_by_weights(
                mlp_weights(self.directory, site).W_in.float(),
                N_EXPERTS,
                dead=scores.dead,
                site=site,
                model_hash=self.store.provenance.model_hash,
            )
            for site, scores in zip(SITES, self.scores, strict=True)
        ]

    def by_activity(self) -> list[Partition]:
        """Balanced spectral clusters of neurons that fire together."""
        return [
            partition_by_coactivation(
                self.activations(site),
                N_EXPERTS,
                settings=GraphSettings(n_shuffles=1),
                site=site,
                model_hash=self.store.provenance.model_hash,
            )
            for site in SITES
        ]

    def activations(self, site: str) -> Float[Tensor, "rows d"]:
        """The neurons where an answer is predicted."""
        answers = self.store.column(FUNCTIONS[0], 0, self.store.n_rows) >= 0
        rows = self.store.rows(site, 0, self.store.n_rows)[answers]
        return torch.from_numpy(np.ascontiguousarray(rows))

    def functional(self, partitions: list[Partition]) -> FunctionalExperts:
        """Which experts of a split hold more of a function's best neurons than chance."""
        return functional_experts(self.scores, partitions, fraction=FRACTION, fdr=FDR)

    def perturbed(
        self, partitions: list[Partition], *, draws: int = RANDOM_DRAWS, n_asked: int = N_ASKED
    ) -> PerturbationResult:
        """What the two experts a layer of every function are needed for, on fresh sequences."""
        return perturb(
            self.bridge,
            self.scores,
            partitions,
            function_items(seed=LINES_SEED, n_per_function=n_asked),
            n_experts=CHOSEN,
            draws=draws,
            bootstrap=500,
            store=self.store,
        )


def specialised_share(scores: NeuronScores) -> float:
    """Share of all neurons of a layer that detect some function at the FDR."""
    return float(scores.specialised(fdr=FDR).any(axis=0).mean())


def picks_own_block(
    trained: Trained, partitions: list[Partition], result: PerturbationResult, *, layer: int
) -> float:
    """Share of the experts chosen by score for a function that lie in the function's own block."""
    blocks, partition = trained.blocks[layer], partitions[layer]
    picked = [
        blocks[partition.members(expert)[0]] == FUNCTIONS.index(function)
        for function in result.functions
        for expert in result.chosen[function][SITES[layer]]
    ]
    return float(np.mean(picked))
