"""Scores and partitions named on the command line, brought together by site."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interp.modules.partition import Partition
    from interp.neurons.scores import NeuronScores


def opened(
    scores: Path, partitions: Sequence[Path]
) -> "tuple[list[NeuronScores], list[Partition]]":
    """The findings behind the paths; of the scores of several sites those that have a partition."""
    from interp.modules.partition import Partition
    from interp.neurons.specialization import Specialization

    experts = [Partition.load(path) for path in partitions]
    sites = {partition.site for partition in experts}
    found = list(Specialization.load(scores).sites)
    if len(found) > 1:
        found = [score for score in found if score.site in sites]
    return found, experts
