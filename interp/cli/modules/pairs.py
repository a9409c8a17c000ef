"""Scores and partitions named on the command line, brought together by site."""

from pathlib import Path
from typing import TYPE_CHECKING

from interp.results.errors import BadInput

if TYPE_CHECKING:
    from interp.modules.partition import Partition
    from interp.neurons.scores import NeuronScores


def opened(scores: str, partitions: str) -> "tuple[list[NeuronScores], list[Partition]]":
    """The findings behind two lists with commas.

    Of a finding that holds the scores of several sites only those that have a partition are taken.
    """
    from interp.modules.partition import Partition

    experts = [Partition.load(Path(path)) for path in _paths(partitions)]
    sites = {partition.site for partition in experts}
    found = [score for path in _paths(scores) for score in _scores(path, sites)]
    return found, experts


def _paths(text: str) -> list[str]:
    paths = [path.strip() for path in text.split(",")]
    if not all(paths):
        raise BadInput(f"{text!r} names an empty path: give paths with commas between them")
    return paths


def _scores(path: str, sites: set[str]) -> "list[NeuronScores]":
    from interp.neurons.specialization import Specialization

    found = list(Specialization.load(path).sites)
    return [score for score in found if score.site in sites] if len(found) > 1 else found
