"""SparsityStats: how many neurons of each layer are active, beside chance and no training."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from interp.neurons.sparsity.definitions import MEASURES
from interp.neurons.sparsity.rule import ActivityRule
from interp.results.errors import BadInput, CorruptFile
from interp.results.finding import load_finding, save_finding
from interp.results.intervals import Interval
from interp.results.provenance import Provenance
from interp.results.tables import html_table, text_table

SCHEMA = "interp.sparsity/1"
_BY_NEURON = ("rate", "mean", "sd", "mean_size", "largest", "histogram")
_SHOWN = ("active", "in_sequence", "dead", "dense", "effective", "needed_0.9", "dropped")


@dataclass(frozen=True, kw_only=True)
class LayerSparsity:
    """What single neurons of one layer do; the layer's measures stand in `SparsityStats`."""

    site: str
    threshold: float | None
    """ε of this layer where the rule found one from the data; None otherwise."""
    rate: Float64[np.ndarray, " neurons"]
    """Share of tokens at which each neuron is active."""
    mean: Float64[np.ndarray, " neurons"]
    sd: Float64[np.ndarray, " neurons"]
    mean_size: Float64[np.ndarray, " neurons"]
    """Mean of |h|."""
    largest: Float64[np.ndarray, " neurons"]
    """Largest |h|."""
    histogram: Int64[np.ndarray, " counts"]
    """Tokens with 0, 1, ... N active neurons."""

    @property
    def n_neurons(self) -> int:
        """Neurons of the layer."""
        return len(self.rate)

    @property
    def dead(self) -> Bool[np.ndarray, " neurons"]:
        """Neurons that no token activated; with n tokens a rate below 3/n is not excluded."""
        return self.rate == 0

    @property
    def dense(self) -> Bool[np.ndarray, " neurons"]:
        """Neurons active at more than half of the tokens."""
        return self.rate > 0.5


@dataclass(frozen=True, kw_only=True)
class Perplexity:
    """What zeroing every inactive neuron of all layers at once does to the next-token loss."""

    rise: Interval
    """exp(loss changed − loss) − 1, with the bootstrap over sequences."""
    loss: float
    """Mean next-token loss of the model as it is, in nats."""
    loss_changed: float
    n_tokens: int
    n_sequences: int

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**vars(self), "rise": _plain(self.rise)}


@dataclass(frozen=True, kw_only=True)
class SparsityStats:
    """Measures (columns) of layers (rows), with intervals and baselines."""

    rule: ActivityRule
    layers: tuple[LayerSparsity, ...]
    measures: tuple[str, ...]
    """Keys of MEASURES."""
    value: Float[np.ndarray, "layers measures"]
    """NaN where a measure has no value: without the model's W_out nothing is said of outputs."""
    low: Float[np.ndarray, "layers measures"]
    high: Float[np.ndarray, "layers measures"]
    """95%: bootstrap over sequences; Wilson over neurons for dead and dense."""
    n: Int64[np.ndarray, "layers measures"]
    n_tokens: int
    n_sequences: int
    baselines: dict[str, Float[np.ndarray, "layers measures"]]
    """By name: `gaussian` has independent neurons of the same means and deviations,
    `random weights` is the same model untrained, any other a store of the same text by its name."""
    perplexity: Perplexity | None
    provenance: Provenance

    @property
    def sites(self) -> tuple[str, ...]:
        """Names of the layers' sites."""
        return tuple(layer.site for layer in self.layers)

    def cell(self, site: str, measure: str) -> Interval:
        """One value with its interval; BadInput for a name that is not there."""
        at = _index(site, self.sites, "site"), _index(measure, self.measures, "measure")
        return Interval(*(float(array[at]) for array in (self.value, self.low, self.high)))

    def baseline(self, name: str, measure: str) -> Float[np.ndarray, " layers"]:
        """A measure of every layer under a baseline."""
        if name not in self.baselines:
            raise BadInput(f"no baseline {name!r}: there are {', '.join(self.baselines) or 'none'}")
        return self.baselines[name][:, _index(measure, self.measures, "measure")]

    def column(self, measure: str) -> Float[np.ndarray, "layers ends"]:
        """Value, low and high of one measure for every layer."""
        at = _index(measure, self.measures, "measure")
        return np.stack([array[:, at] for array in (self.value, self.low, self.high)], axis=1)

    def table(self, measures: tuple[str, ...] = _SHOWN) -> tuple[list[str], list[list[str]]]:
        """Heading and lines: a layer each, every measure with its interval and its baselines."""
        shown = [m for m in measures if m in self.measures and np.isfinite(self._of(m)).any()]
        heading = ["site", "neurons", *(MEASURES[m].title for m in shown)]
        lines = [
            [layer.site, f"{layer.n_neurons:,}", *(self._text(row, m) for m in shown)]
            for row, layer in enumerate(self.layers)
        ]
        return heading, lines

    def notes(self) -> list[str]:
        """What stands under the table."""
        marks = ", ".join(f"{_mark(name)} {name}" for name in self.baselines)
        lines = [
            f"Rule {self.rule}; {self.n_tokens:,} tokens of {self.n_sequences:,} sequences; 95% "
            "intervals over sequences, for dead and dense neurons Wilson's over neurons.",
            f"In brackets behind a value its baselines: {marks or 'none was asked for'}.",
        ]
        if self.perplexity is not None:
            p = self.perplexity
            lines.append(
                f"Zeroing all inactive neurons raises perplexity by {p.rise.value:.2%} "
                f"[{p.rise.low:.2%}, {p.rise.high:.2%}] on {p.n_tokens:,} tokens "
                f"(loss {p.loss:.4f} to {p.loss_changed:.4f} nats)."
            )
        return lines

    def to_json(self) -> dict[str, Any]:
        """The layers' measures for machines; NaN as null."""
        return {
            "rule": str(self.rule),
            "n_tokens": self.n_tokens,
            "n_sequences": self.n_sequences,
            "layers": {
                layer.site: {
                    "neurons": layer.n_neurons,
                    "threshold": layer.threshold,
                    "measures": {m: self._entry(row, m) for m in self.measures},
                }
                for row, layer in enumerate(self.layers)
            },
            "definitions": {m: MEASURES[m].definition for m in self.measures},
            "perplexity": None if self.perplexity is None else self.perplexity.to_json(),
        }

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write the finding, whole or not at all."""
        arrays = {name: getattr(self, name) for name in ("value", "low", "high", "n")}
        arrays |= {f"baseline.{i}": array for i, array in enumerate(self.baselines.values())}
        for i, layer in enumerate(self.layers):
            arrays |= {f"{name}.{i}": getattr(layer, name) for name in _BY_NEURON}
        header = {
            "rule": str(self.rule),
            "sites": list(self.sites),
            "thresholds": [layer.threshold for layer in self.layers],
            "measures": list(self.measures),
            "n_tokens": self.n_tokens,
            "n_sequences": self.n_sequences,
            "baselines": list(self.baselines),
            "perplexity": None if self.perplexity is None else self.perplexity.to_json(),
            "provenance": self.provenance.to_json(),
        }
        return save_finding(
            Path(path), schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite
        )

    @classmethod
    def load(cls, path: Path | str) -> "SparsityStats":
        """A saved finding. Raises BadInput if it is another, CorruptFile if it was altered."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)
        try:
            found = cls(**_content(header, arrays))
        except (KeyError, TypeError, AttributeError) as error:
            raise CorruptFile(f"{path} lacks or garbles {error}: measure it again") from error
        if found.value.shape != (len(found.layers), len(found.measures)):
            raise CorruptFile(f"{path}: {found.value.shape} values for its layers and measures")
        return found

    def __repr__(self) -> str:
        return (
            f"SparsityStats({len(self.layers)} layers, rule {self.rule}, {self.n_tokens:,} tokens, "
            f"{len(self.baselines)} baselines)"
        )

    def __str__(self) -> str:
        return text_table(*self.table(), self.notes())

    def _repr_html_(self) -> str:
        return html_table(*self.table(), self.notes())

    def _of(self, measure: str) -> Float[np.ndarray, " layers"]:
        return self.value[:, self.measures.index(measure)]

    def _text(self, row: int, measure: str) -> str:
        at = row, self.measures.index(measure)
        if np.isnan(self.value[at]):
            return "-"
        text = f"{self.value[at]:.3f}"
        if np.isfinite(self.low[at]):
            text += f" [{self.low[at]:.3f}, {self.high[at]:.3f}]"
        beside = [
            f"{_mark(name)} {array[at]:.3f}"
            for name, array in self.baselines.items()
            if np.isfinite(array[at])
        ]
        return f"{text} ({', '.join(beside)})" if beside else text

    def _entry(self, row: int, measure: str) -> dict[str, Any]:
        at = row, self.measures.index(measure)
        return {
            "value": _plain(float(self.value[at])),
            "interval": [_plain(float(self.low[at])), _plain(float(self.high[at]))],
            "n": int(self.n[at]),
            "baselines": {name: _plain(float(a[at])) for name, a in self.baselines.items()},
        }


def _content(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    perplexity = header["perplexity"]
    return {
        "rule": ActivityRule.parse(header["rule"]),
        "layers": tuple(_layers(header, arrays)),
        "measures": tuple(header["measures"]),
        **{name: arrays[name] for name in ("value", "low", "high", "n")},
        "n_tokens": header["n_tokens"],
        "n_sequences": header["n_sequences"],
        "baselines": {name: arrays[f"baseline.{i}"] for i, name in enumerate(header["baselines"])},
        "perplexity": None
        if perplexity is None
        else Perplexity(**{**perplexity, "rise": Interval(*map(_number, perplexity["rise"]))}),
        "provenance": Provenance.from_json(header["provenance"]),
    }


def _layers(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Iterator[LayerSparsity]:
    pairs = zip(header["sites"], header["thresholds"], strict=True)
    for i, (site, threshold) in enumerate(pairs):
        by_neuron = {name: arrays[f"{name}.{i}"] for name in _BY_NEURON}
        yield LayerSparsity(site=site, threshold=threshold, **by_neuron)


def _index(key: str, keys: tuple[str, ...], what: str) -> int:
    if key not in keys:
        raise BadInput(f"no {what} {key!r}: there are {', '.join(keys)}")
    return keys.index(key)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _mark(name: str) -> str:
    """The letter of a baseline in the table: Gaussian, random weights, or another model."""
    return "g" if name == "gaussian" else "r" if name.startswith("random weights") else "b"
