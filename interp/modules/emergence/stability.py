"""Stability: how neurons, experts, partitions and sparsity move over a series of checkpoints."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from interp.modules.emergence.missing import interval_of, mean_of, spread_of
from interp.modules.emergence.monitor import Advice, advise, agreement_ratio
from interp.modules.emergence.settling import (
    settled_at_least,
    settled_at_most,
    settled_near_last,
)
from interp.results.errors import BadInput, CorruptFile
from interp.results.finding import load_finding, save_finding
from interp.results.provenance import Provenance
from interp.results.tables import html_table, text_table

SCHEMA = "interp.stability/1"
FOLDER = "stability"
Level = Literal["neuron", "expert", "random"]
_ARRAYS = (
    *("best", "best_null", "neuron", "expert", "random"),
    *("partition_ari", "partition_nmi", "ceiling_ari", "ceiling_nmi", "floor_ari", "floor_nmi"),
    *("active", "dead", "coactivation_change", "coactivation_across", "coactivation_floor"),
)
_DRAWS = 2000


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What was followed, and with which numbers."""

    sites: tuple[str, ...]
    steps: tuple[int, ...]
    functions: tuple[str, ...]
    n_experts: int
    reference_step: int
    """The checkpoint whose weights gave the fixed experts of the expert level."""
    rule: str
    """When a neuron counts as active."""
    n_tokens: int
    n_sequences: int
    n_coactive: int
    """Neurons a layer whose co-activation was followed."""
    model_hashes: tuple[str | None, ...]


class Mean(NamedTuple):
    """A mean over functions with its 95% bootstrap over functions, pair by pair."""

    value: Float64[np.ndarray, "layers pairs"]
    low: Float64[np.ndarray, "layers pairs"]
    high: Float64[np.ndarray, "layers pairs"]


class Settled(NamedTuple):
    """The first step from which a curve of one layer stays within its bound; None if never."""

    curve: str
    site: str
    step: int | None
    bound: str


@dataclass(frozen=True, kw_only=True)
class Stability:
    """Curves over training; a pair is a checkpoint and the next, listed at the earlier step."""

    setup: Setup
    best: Float[np.ndarray, "layers steps functions"]
    """Score of the best neuron of each function."""
    best_null: Float[np.ndarray, "layers steps functions"]
    """Mean over permuted labels of the best neuron's score."""
    neuron: Float[np.ndarray, "layers pairs functions"]
    """Spearman's correlation of the neurons' scores. NaN where all scores are equal."""
    expert: Float[np.ndarray, "layers pairs starts functions"]
    """The same of expert means, under the partitions that each start of clustering gave."""
    random: Float[np.ndarray, "layers pairs draws functions"]
    """The same under random partitions of the same sizes: what averaging alone does."""
    partition_ari: Float[np.ndarray, "layers pairs"]
    """Mean over all pairs of starts of the two checkpoints, which share no draw; live neurons."""
    partition_nmi: Float[np.ndarray, "layers pairs"]
    ceiling_ari: Float[np.ndarray, "layers steps"]
    """Mean over pairs of starts at one checkpoint: nothing above it can be seen."""
    ceiling_nmi: Float[np.ndarray, "layers steps"]
    floor_ari: Float[np.ndarray, "layers draws"]
    """Of random partitions with their neighbours in the draw."""
    floor_nmi: Float[np.ndarray, "layers draws"]
    active: Float[np.ndarray, "layers steps ends"]
    """Share of neurons active at a token: value, low and high (95% over sequences)."""
    dead: Float[np.ndarray, "layers steps ends"]
    """Share of neurons that no token activates: value, low and high (Wilson over neurons)."""
    coactivation_change: Float[np.ndarray, "layers pairs"]
    """1 − Pearson's correlation of phi before and after, on the same tokens."""
    coactivation_across: Float[np.ndarray, "layers pairs"]
    """The same with one half of the text before and the other after, to be read with the floor."""
    coactivation_floor: Float[np.ndarray, "layers pairs"]
    """Between the halves of the text at one checkpoint, mean of the pair's two: text alone."""
    provenance: Provenance

    @property
    def pair_steps(self) -> tuple[int, ...]:
        """The earlier step of every pair."""
        return self.setup.steps[:-1]

    def level(self, level: Level, *, seed: int = 0) -> Mean:
        """Rank stability at a level: mean over functions and partitions, and its interval."""
        values = self._by_function(level)
        drawn = np.random.default_rng(seed).integers(0, values.shape[2], (_DRAWS, values.shape[2]))
        times = np.stack([np.bincount(draw, minlength=values.shape[2]) for draw in drawn])
        has = np.isfinite(values)
        n = has @ times.T
        sums = np.where(has, values, 0.0) @ times.T
        means = np.divide(sums, n, out=np.full(sums.shape, np.nan), where=n > 0)
        return Mean(mean_of(values, axis=2), *interval_of(means))

    def random_spread(self) -> Float64[np.ndarray, "layers pairs"]:
        """Standard deviation over random partitions of their mean over functions."""
        return spread_of(mean_of(self.random, axis=3))

    def start_spread(self) -> Float64[np.ndarray, "layers pairs"]:
        """Standard deviation over the starts of clustering of their mean over functions."""
        return spread_of(mean_of(self.expert, axis=3))

    def pair_ceiling(self) -> Float64[np.ndarray, "layers pairs"]:
        """Agreement of starts, mean of the two checkpoints of each pair."""
        return (self.ceiling_ari[:, :-1] + self.ceiling_ari[:, 1:]) / 2

    def floor(self) -> Float64[np.ndarray, " layers"]:
        """Agreement of random partitions, mean of draws: about 0."""
        return mean_of(self.floor_ari, axis=1)

    def monitor(self) -> tuple[Advice, ...]:
        """Advice of the dense-or-sparse monitor from each step but the first."""
        ceiling = self.pair_ceiling()
        return advise(
            self.setup.steps,
            agreement_ratio(self.partition_ari, ceiling),
            mean_of(ceiling, axis=0),
            mean_of(self.active[:, 1:, 0], axis=0),
        )

    def settled(self, *, tolerance: float = 0.1) -> list[Settled]:
        """When each curve of each layer settles.

        Rank stability: at least 1 − tolerance from there on. Partitions: at least the agreement of
        starts minus the tolerance; not told unless at every pair that bound is above the floor
        plus the tolerance, since partitions that agree by chance would pass a lower one. Active
        share: within half the tolerance of its last value. Co-activation: at most the floor of the
        text plus the tolerance.
        """
        if not 0 < tolerance < 1:
            raise BadInput(f"tolerance {tolerance}: expected a number between 0 and 1")
        found = []
        for layer, site in enumerate(self.setup.sites):
            found += self._settled(layer, site, tolerance)
        return found

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heading and lines: a layer and pair of checkpoints each."""
        heading = ["site", "step", "neuron", "expert", "random (SD)", "partition ARI", "ceiling",
                   "active", "co-activation", "floor", "monitor"]  # fmt: skip
        levels = {name: self.level(name).value for name in ("neuron", "expert", "random")}
        spread, ceiling, advice = self.random_spread(), self.pair_ceiling(), self.monitor()
        lines = []
        for layer, site in enumerate(self.setup.sites):
            for pair, step in enumerate(self.pair_steps):
                at = layer, pair
                lines.append(
                    [
                        site,
                        str(step),
                        _text(levels["neuron"][at]),
                        _text(levels["expert"][at]),
                        f"{_text(levels['random'][at])} ({_text(spread[at])})",
                        _text(self.partition_ari[at]),
                        _text(ceiling[at]),
                        _text(self.active[layer, pair, 0]),
                        _text(self.coactivation_across[at]),
                        _text(self.coactivation_floor[at]),
                        advice[pair],
                    ]
                )
        return heading, lines

    def notes(self, *, tolerance: float = 0.1) -> list[str]:
        """What stands under the table."""
        s = self.setup
        starts, draws = self.expert.shape[2], self.random.shape[2]
        lines = [
            f"{len(s.functions)} functions, {s.n_tokens:,} tokens of {s.n_sequences:,} sequences; "
            f"rule {s.rule}; {s.n_experts} experts from the weights at step {s.reference_step}, "
            f"mean of {starts} starts; {draws} random partitions.",
            "Rank stability is Spearman's correlation with the next checkpoint; ARI and "
            "co-activation are between checkpoints, each beside what one checkpoint gives.",
        ]
        lines += [
            f"{found.curve} of {found.site} settles at step {found.step} ({found.bound})"
            if found.step is not None
            else f"{found.curve} of {found.site} does not settle ({found.bound})"
            for found in self.settled(tolerance=tolerance)
        ]
        return lines

    def to_json(self, *, tolerance: float = 0.1) -> dict[str, Any]:
        """The curves for machines; NaN as null."""
        levels = {name: self.level(name) for name in ("neuron", "expert", "random")}
        return {
            **asdict(self.setup),
            "levels": {
                name: {end: _plain(getattr(mean, end)) for end in Mean._fields}
                for name, mean in levels.items()
            },
            "random_sd": _plain(self.random_spread()),
            "start_sd": _plain(self.start_spread()),
            "best": _plain(self.best.mean(axis=2)),
            "best_null": _plain(self.best_null.mean(axis=2)),
            **{
                name: _plain(getattr(self, name))
                for name in _ARRAYS
                if name not in ("best", "best_null", "neuron", "expert", "random")
            },
            "monitor": list(self.monitor()),
            "tolerance": tolerance,
            "settled": [found._asdict() for found in self.settled(tolerance=tolerance)],
        }

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write the finding, whole or not at all."""
        header = {"setup": asdict(self.setup), "provenance": self.provenance.to_json()}
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return save_finding(
            Path(path), schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite
        )

    @classmethod
    def load(cls, path: Path | str) -> "Stability":
        """A saved finding, or that in a run's directory. CorruptFile if it was altered."""
        inside = Path(path) / FOLDER
        header, arrays = load_finding(inside if inside.is_dir() else Path(path), schema=SCHEMA)
        try:
            raw: dict[str, Any] = header["setup"]
            lists = {name: tuple(v) for name, v in raw.items() if isinstance(v, list)}
            setup = Setup(**{**raw, **lists})
            return cls(
                setup=setup,
                provenance=Provenance.from_json(header["provenance"]),
                **{name: arrays[name] for name in _ARRAYS},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise CorruptFile(
                f"{path} lacks or garbles {error}: follow the series again"
            ) from error

    def __repr__(self) -> str:
        s = self.setup
        return (
            f"Stability({len(s.sites)} layers, steps {s.steps[0]} to {s.steps[-1]}, "
            f"{len(s.functions)} functions, {s.n_experts} experts)"
        )

    def __str__(self) -> str:
        return text_table(*self.table(), self.notes())

    def _repr_html_(self) -> str:
        return html_table(*self.table(), self.notes())

    def _by_function(self, level: Level) -> Float64[np.ndarray, "layers pairs functions"]:
        if level == "neuron":
            return self.neuron
        return mean_of(self.expert if level == "expert" else self.random, axis=2)

    def _settled(self, layer: int, site: str, tolerance: float) -> list[Settled]:
        steps, pairs = self.setup.steps, self.pair_steps
        least = np.full(len(pairs), 1 - tolerance)
        bound = f"at least {1 - tolerance:g}"
        levels: tuple[Level, ...] = ("neuron", "expert", "random")
        found = []
        for name in levels:
            values = mean_of(self._by_function(name)[layer], axis=1)
            found.append(Settled(name, site, settled_at_least(pairs, values, least), bound))
        ceiling = self.pair_ceiling()[layer]
        told = bool((ceiling - tolerance > self.floor()[layer] + tolerance).all())
        ari = settled_at_least(pairs, self.partition_ari[layer], ceiling - tolerance)
        found.append(
            Settled(
                "partition", site, ari if told else None,
                f"at least the agreement of starts − {tolerance:g}" if told
                else "cannot be told: starts agree hardly better than chance",
            )
        )  # fmt: skip
        active = settled_near_last(steps, self.active[layer, :, 0], tolerance / 2)
        found.append(Settled("active share", site, active, f"within {tolerance / 2:g} of its last"))
        most = self.coactivation_floor[layer] + tolerance
        change = settled_at_most(pairs, self.coactivation_across[layer], most)
        found.append(
            Settled("co-activation", site, change, f"at most the text's floor + {tolerance:g}")
        )
        return found


def _text(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}"


def _plain(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return _plain(values.tolist())
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return None if isinstance(values, float) and not np.isfinite(values) else values
