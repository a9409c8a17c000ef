"""ProbeResult: how well a linear probe reads a label at each site, beside what proves nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from interp.results.errors import BadInput, CorruptFile
from interp.results.escape import visible
from interp.results.finding import load_finding, save_finding
from interp.results.intervals import Interval
from interp.results.provenance import Provenance
from interp.results.tables import html_table, text_table

SCHEMA = "interp.probe/1"
MEASURES = (
    *("accuracy", "average_precision", "log_loss"),
    *("control_accuracy", "selectivity"),
    *("baseline_accuracy", "above_baseline"),
)
_ARRAYS = (*MEASURES, "codelength", "compression", "penalty", "converged", "bias")
_HEADER = (
    *("label", "classes", "left_out", "sites", "pool", "majority", "chance_average_precision"),
    *("prior_log_loss", "n_types", "n_rows", "n_groups"),
)


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """A probe for every site. Measures are value, low and high: 95% bootstrap over groups."""

    label: str
    classes: tuple[str, ...]
    left_out: tuple[str, ...]
    """Classes without rows on every side; their rows were not used."""
    sites: tuple[str, ...]
    pool: str
    """`token`: a row is a token; else how the labelled tokens of a document were pooled."""
    accuracy: Float[np.ndarray, "sites 3"]
    average_precision: Float[np.ndarray, "sites 3"]
    """Of the second class of two, or the mean over classes, each against the rest."""
    log_loss: Float[np.ndarray, "sites 3"]
    """Nats."""
    control_accuracy: Float[np.ndarray, "sites 3"]
    """The same probe on a random label for every word type (for every document where tokens are
    pooled: such a label cannot carry over to the test, and this is chance); NaN if not asked."""
    selectivity: Float[np.ndarray, "sites 3"]
    """Accuracy − control accuracy, over the same rows (1909.03368)."""
    baseline_accuracy: Float[np.ndarray, "sites 3"]
    """The same probe on the model with random weights; NaN without its store."""
    above_baseline: Float[np.ndarray, "sites 3"]
    """Accuracy − baseline accuracy, over the same rows."""
    majority: float
    """Test accuracy of always saying the most frequent class of the training rows."""
    chance_average_precision: float
    """Average precision of a constant score: the share of positives."""
    prior_log_loss: float
    """Test log loss of always giving the classes' shares among the training rows, nats."""
    seen_types: float
    """Share of the test rows whose word type is among the training rows: only there can the
    control task be answered; NaN if not asked."""
    n_types: int
    """Word types (documents, where tokens are pooled) of the rows used: a control task over few is
    learnt by heart with ease, and selectivity then says little."""
    codelength: Float[np.ndarray, " sites"]
    """Online code (2003.12298) of the training labels, nats a label; NaN if not asked."""
    compression: Float[np.ndarray, " sites"]
    """Uniform code length over the online code's: 1 where nothing is learnt."""
    penalty: Float[np.ndarray, " sites"]
    """λ of λ/2 |w|² on standardised units, the best on the validation rows."""
    converged: Bool[np.ndarray, " sites"]
    n_rows: dict[str, int]
    """Rows that trained, validated and tested."""
    n_groups: dict[str, int]
    """Documents (or values of another column) that they come from; none is on two sides."""
    weights: dict[str, Float[np.ndarray, "classes _d"]]
    """By site, for rows as the store holds them: logits are rows @ weights.T + bias."""
    bias: Float[np.ndarray, "sites classes"]
    means: dict[str, Float[np.ndarray, "classes _d"]]
    """By site, the mean of each class over the training rows."""
    provenance: Provenance

    def cell(self, measure: str, site: str) -> Interval:
        """One measure of one site."""
        if measure not in MEASURES:
            raise BadInput(f"no measure {measure!r}: {', '.join(MEASURES)}")
        return Interval(*(float(end) for end in getattr(self, measure)[self._place(site)]))

    def direction(self, site: str, name: str | None = None) -> Float[np.ndarray, " _d"]:
        """The unit vector along which the logit of a class rises most above the others' mean.

        In the space of the site's own activations. Without a name, of the second class of two.
        """
        place = self._class(name)
        self._place(site)
        others = np.delete(self.weights[site], place, axis=0).mean(axis=0)
        along = self.weights[site][place] - others
        length = float(np.linalg.norm(along))
        return along / length if length else along

    def mean_difference(self, site: str, name: str | None = None) -> Float[np.ndarray, " _d"]:
        """Mean of a class minus the mean of the other classes' means: what to add to steer.

        A probe's direction also removes what disturbs the reading; the difference of means is what
        the site itself changes by (2310.06824). Without a name, of the second class of two.
        """
        place = self._class(name)
        self._place(site)
        return self.means[site][place] - np.delete(self.means[site], place, axis=0).mean(axis=0)

    def logits(
        self, site: str, rows: Float[np.ndarray, "rows _d"]
    ) -> Float[np.ndarray, "rows classes"]:
        """What the probe says of rows of its site, trailing axes flattened."""
        return rows @ self.weights[site].T + self.bias[self._place(site)]

    def save(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write to the directory `path`, whole or not at all."""
        header = {name: getattr(self, name) for name in _HEADER}
        header["seen_types"] = None if np.isnan(self.seen_types) else self.seen_types
        header["provenance"] = self.provenance.to_json()
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {f"weights/{site}": weights for site, weights in self.weights.items()}
        arrays |= {f"means/{site}": means for site, means in self.means.items()}
        return save_finding(path, schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite)

    @classmethod
    def load(cls, path: Path | str) -> "ProbeResult":
        """The result saved at `path`; BadInput if it is none, CorruptFile if it was altered."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)
        try:
            known: dict[str, Any] = {name: header[name] for name in _HEADER}
            known |= {name: arrays[name] for name in _ARRAYS}
            for name in ("classes", "left_out", "sites"):
                known[name] = tuple(known[name])
            seen = header["seen_types"]
            return cls(
                **known,
                seen_types=float("nan") if seen is None else float(seen),
                weights={site: arrays[f"weights/{site}"] for site in known["sites"]},
                means={site: arrays[f"means/{site}"] for site in known["sites"]},
                provenance=Provenance.from_json(header["provenance"]),
            )
        except (KeyError, TypeError) as error:
            raise CorruptFile(f"{path}: the header or data lack {error}") from error

    def to_json(self) -> dict[str, Any]:
        """Everything but the weights, NaN as null."""
        content: dict[str, Any] = {name: getattr(self, name) for name in _HEADER}
        content["seen_types"] = _plain(self.seen_types)
        content["by_site"] = [
            {
                "site": site,
                **{name: [_plain(x) for x in getattr(self, name)[i]] for name in MEASURES},
                **{
                    name: _plain(getattr(self, name)[i])
                    for name in ("codelength", "compression", "penalty")
                },
                "converged": bool(self.converged[i]),
            }
            for i, site in enumerate(self.sites)
        ]
        return content

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heading and lines: the measures of every site with what stands against each."""
        shown = [name for name in MEASURES if not np.isnan(getattr(self, name)).all()]
        coded = not np.isnan(self.compression).all()
        heading = ["site", *(name.replace("_", " ") for name in shown)]
        lines = [
            [visible(site), *(str(self.cell(name, site)) for name in shown)]
            + ([f"{self.compression[i]:.2f}"] if coded else [])
            for i, site in enumerate(self.sites)
        ]
        null = {
            "accuracy": f"{self.majority:.3f}",
            "average_precision": f"{self.chance_average_precision:.3f}",
            "log_loss": f"{self.prior_log_loss:.3f}",
        }
        lines.append(["without the site", *(null.get(name, "") for name in shown)])
        if coded:
            heading.append("compression")
            lines[-1].append("1.00")
        return heading, lines

    def notes(self) -> list[str]:
        """What a reader of the table must know."""
        unit = "tokens" if self.pool == "token" else f"documents ({self.pool} of their tokens)"
        counts = ", ".join(
            f"{self.n_rows[side]:,} {what} ({self.n_groups[side]:,} groups)"
            for side, what in (("train", "train"), ("validation", "validate"), ("test", "test"))
        )
        notes = [
            f"{visible(self.label)}: {len(self.classes)} classes; rows are {unit}: {counts}.",
            "Intervals: 95% bootstrap over groups. Without the site: the most frequent class, a "
            "constant score, the classes' shares.",
        ]
        if not np.isnan(self.selectivity).all():
            notes.append(
                f"Control: a random label for each of {self.n_types:,} word types; "
                f"{self.seen_types:.3f} of the test rows have one seen in training (1909.03368)."
                if self.pool == "token"
                else "Control: a random label a document, which nothing carries to the test."
            )
        if self.left_out:
            notes.append(f"Left out, too rare: {visible(', '.join(self.left_out))}.")
        stuck = [site for site, done in zip(self.sites, self.converged, strict=True) if not done]
        if stuck:
            notes.append(f"Not converged: {visible(', '.join(stuck))}.")
        return notes

    def __str__(self) -> str:
        return text_table(*self.table(), self.notes())

    def _repr_html_(self) -> str:
        return html_table(*self.table(), self.notes())

    def _class(self, name: str | None) -> int:
        if name is None and len(self.classes) != 2:
            raise BadInput(f"name one of the classes: {', '.join(self.classes)}")
        if name is not None and name not in self.classes:
            raise BadInput(f"the probe has no class {name!r}: {', '.join(self.classes)}")
        return 1 if name is None else self.classes.index(name)

    def _place(self, site: str) -> int:
        if site not in self.sites:
            raise BadInput(f"the probe has no site {site!r}: {', '.join(self.sites)}")
        return self.sites.index(site)


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
