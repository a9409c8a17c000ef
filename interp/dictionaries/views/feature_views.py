"""FeatureViews: what every feature of one dictionary does over the rows of one store."""

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from interp.dictionaries.views.feature_view import (
    Companion,
    ContextView,
    Detection,
    FeatureView,
    Partner,
)
from interp.dictionaries.views.lazy_arrays import lazy_arrays
from interp.dictionaries.views.parts import (
    QUANTILES,
    Activity,
    Coactivation,
    Contexts,
    Labels,
    Logits,
    Neighbours,
    Neurons,
)
from interp.results.errors import BadInput, CorruptFile
from interp.results.escape import html_text
from interp.results.finding import DATA, read_header, save_finding
from interp.results.hashing import sha256_file
from interp.results.intervals import Interval
from interp.results.provenance import Provenance

SCHEMA = "interp.feature-views/1"
_SPACE_MARKS = (" ", "▁", "Ġ", "##", "@@", "</w>")
"""How tokenizers write where a word begins, goes on or ends."""
_PARTS: dict[str, type] = {
    "activity": Activity,
    "strongest": Contexts,
    "sampled": Contexts,
    "neighbours": Neighbours,
    "coactivation": Coactivation,
    "neurons": Neurons,
    "logits": Logits,
}


@dataclass(frozen=True, kw_only=True)
class FeatureViews:
    """The views of all features; `views.feature(17)` is one feature's."""

    dictionary: str
    """Where it can be opened again: a bundled name, an absolute path, a release; the name of its
    site where it was given as an object."""
    sae_id: str | None
    """Within a release."""
    weights_sha256: str
    """Of the weights that were viewed."""
    site: str
    store: str
    """As given."""
    d_sae: int
    n_rows: int
    activity: Activity
    strongest: Contexts
    """The rows with the highest |activation|, one of each sequence."""
    sampled: Contexts
    """An even sample of all firings, so that weak ones are seen as well."""
    neighbours: Neighbours
    coactivation: Coactivation
    neurons: Neurons | None
    """None where no second site was asked for."""
    logits: Logits | None
    """None where no model was given."""
    labels: tuple[Labels, ...]
    labels_left_out: dict[str, str]
    """Label columns of the store that were not viewed, and why."""
    token_count: Int[np.ndarray, " ids"]
    """Rows of each token id."""
    vocabulary: tuple[str, ...] | None
    """The string of every id; None for a model without a tokenizer."""
    provenance: Provenance

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write the finding, whole or not at all."""
        parts = {name: getattr(self, name) for name in _PARTS if getattr(self, name) is not None}
        parts |= {f"labels.{i}": label for i, label in enumerate(self.labels)}
        arrays = {"token_count": self.token_count}
        numbers: dict[str, dict[str, Any]] = {}
        for name, part in parts.items():
            content = {field.name: getattr(part, field.name) for field in fields(part)}
            arrays |= {f"{name}.{k}": v for k, v in content.items() if isinstance(v, np.ndarray)}
            numbers[name] = {k: v for k, v in content.items() if not isinstance(v, np.ndarray)}
        # Half a character, which some tokens are, has no place in UTF-8.
        words = None if self.vocabulary is None else [_storable(word) for word in self.vocabulary]
        return save_finding(
            Path(path),
            schema=SCHEMA,
            header={
                "dictionary": self.dictionary,
                "sae_id": self.sae_id,
                "weights_sha256": self.weights_sha256,
                "site": self.site,
                "store": self.store,
                "d_sae": self.d_sae,
                "n_rows": self.n_rows,
                "parts": numbers,
                "labels_left_out": self.labels_left_out,
                "provenance": self.provenance.to_json(),
                "vocabulary": words,
            },
            arrays=arrays,
            overwrite=overwrite,
        )

    @classmethod
    def load(cls, path: Path | str, *, verify: bool = False) -> "FeatureViews":
        """A saved finding; its arrays are read from the file where they are looked at.

        `verify` reads all of it first and compares the checksum. Raises BadInput if it is another
        finding, CorruptFile if it is truncated or lacks a part.
        """
        path = Path(path)
        header = read_header(path, schema=SCHEMA)
        if not (path / DATA).is_file():
            raise CorruptFile(f"{path / DATA} is missing: view the features again")
        if verify and sha256_file(path / DATA) != header.get("data_sha256"):
            raise CorruptFile(f"{path / DATA} does not fit its checksum: view the features again")
        arrays = lazy_arrays(path / DATA)
        try:
            return cls(**_content(header, arrays))
        except (KeyError, TypeError, AttributeError) as error:
            raise CorruptFile(
                f"{path} lacks or garbles {error}: view the features again"
            ) from error

    def feature(self, feature: int) -> FeatureView:
        """One feature's view; BadInput if the dictionary has no such feature."""
        if not 0 <= feature < self.d_sae:
            raise BadInput(f"feature {feature}: {self.dictionary} has 0 to {self.d_sae - 1}")
        activity = self.activity
        low, high = activity.density_interval[feature]
        strongest = self._contexts(self.strongest, feature)
        sampled = self._contexts(self.sampled, feature)
        return FeatureView(
            feature=feature,
            n_rows=self.n_rows,
            n_active=int(activity.n_active[feature]),
            density=Interval(float(activity.density[feature]), float(low), float(high)),
            mean=float(activity.mean[feature]),
            max=float(activity.max[feature]),
            quantiles=dict(zip(QUANTILES, activity.quantiles[feature].tolist(), strict=True)),
            histogram=np.asarray(activity.histogram[feature]),
            strongest=strongest,
            sampled=sampled,
            token_rows={
                context.token_id: int(self.token_count[context.token_id])
                for context in (*strongest, *sampled)
            },
            neighbours=_partners(self.neighbours.feature[feature], self.neighbours.cosine[feature]),
            neighbour_null=self.neighbours.null,
            companions=self._companions(feature),
            **self._neuron_views(feature),
            **self._logit_views(feature),
            detections=tuple(sorted(self._detections(feature), key=_excess, reverse=True)),
        )

    def token_text(self, token: int) -> str:
        """The string of a token id; the id in brackets where there is no vocabulary."""
        if self.vocabulary is None or not 0 <= token < len(self.vocabulary):
            return f"[{token}]"
        return self.vocabulary[token]

    @cached_property
    def between(self) -> str:
        """What stands between two tokens: a space where no token carries a mark of one."""
        if self.vocabulary is None:
            return ""
        marked = any(mark in word for word in self.vocabulary for mark in _SPACE_MARKS)
        return "" if marked else " "

    def __repr__(self) -> str:
        return (
            f"FeatureViews({self.dictionary!r}: {self.d_sae:,} features of {self.site} over "
            f"{self.n_rows:,} rows, {int((self.activity.n_active == 0).sum()):,} never fire)"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html_text(repr(self))}</p>"

    def _contexts(self, contexts: Contexts, feature: int) -> tuple[ContextView, ...]:
        rows = np.asarray(contexts.row[feature])
        return tuple(
            self._context(contexts, feature, int(slot)) for slot in np.flatnonzero(rows >= 0)
        )

    def _context(self, contexts: Contexts, feature: int, slot: int) -> ContextView:
        ids = np.asarray(contexts.token[feature, slot])
        inside = np.flatnonzero(ids >= 0)
        return ContextView(
            row=int(contexts.row[feature, slot]),
            activation=float(contexts.activation[feature, slot]),
            band=int(contexts.band[feature, slot]),
            token_ids=tuple(ids[inside].tolist()),
            tokens=tuple(self.token_text(int(token)) for token in ids[inside]),
            along=np.asarray(contexts.along[feature, slot])[inside],
            marked=int(np.flatnonzero(inside == len(ids) // 2)[0]),
            between=self.between,
        )

    def _companions(self, feature: int) -> tuple[Companion, ...]:
        found = self.coactivation
        return tuple(
            Companion(
                feature=int(found.feature[feature, slot]),
                phi=float(found.phi[feature, slot]),
                together=int(found.together[feature, slot]),
                expected=float(found.expected[feature, slot]),
                p_value=float(found.p_value[feature, slot]),
            )
            for slot in np.flatnonzero(np.asarray(found.feature[feature]) >= 0)
        )

    def _neuron_views(self, feature: int) -> dict[str, Any]:
        if self.neurons is None:
            return {"neurons": (), "neuron_null": float("nan")}
        found = self.neurons
        return {
            "neurons": _partners(found.neuron[feature], found.correlation[feature]),
            "neuron_null": float(found.null[feature]),
        }

    def _logit_views(self, feature: int) -> dict[str, Any]:
        if self.logits is None:
            return {"promoted": (), "suppressed": (), "logit_null": float("nan")}
        found = self.logits
        return {
            "promoted": self._tokens(found.promoted[feature], found.promoted_by[feature]),
            "suppressed": self._tokens(found.suppressed[feature], found.suppressed_by[feature]),
            "logit_null": float(found.null[feature]),
        }

    def _tokens(self, ids: np.ndarray, strengths: np.ndarray) -> tuple[Partner, ...]:
        return tuple(
            Partner(index=int(i), name=self.token_text(int(i)), strength=float(s))
            for i, s in zip(ids, strengths, strict=True)
        )

    def _detections(self, feature: int) -> list[Detection]:
        return [
            Detection(
                column=label.column,
                value=value,
                average_precision=Interval(
                    float(label.average_precision[feature, i]),
                    *map(float, label.average_precision_bounds[feature, i]),
                ),
                base_rate=float(label.base_rate[i]),
                fired=int(label.fired[feature, i]),
                expected=float(label.expected[feature, i]),
                n=int(label.n[i]),
                unit=label.unit,
                q_value=float(label.q_value[feature, i]),
            )
            for label in self.labels
            for i, value in enumerate(label.values)
        ]


def _excess(detection: Detection) -> float:
    return detection.average_precision.value - detection.base_rate


def _partners(indices: np.ndarray, strengths: np.ndarray) -> tuple[Partner, ...]:
    return tuple(
        Partner(index=int(i), name=str(int(i)), strength=float(s))
        for i, s in zip(indices, strengths, strict=True)
        if not np.isnan(s)
    )


def _storable(word: str) -> str:
    return word.encode("utf-8", "replace").decode("utf-8")


def _content(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    numbers = header["parts"]
    named = (
        *("dictionary", "sae_id", "weights_sha256", "site", "store", "d_sae", "n_rows"),
        "labels_left_out",
    )
    words = header["vocabulary"]
    n_labels = sum(name.startswith("labels.") for name in numbers)
    return {
        **{name: header[name] for name in named},
        **{
            name: _part(kind, name, numbers[name], arrays) if name in numbers else None
            for name, kind in _PARTS.items()
        },
        "labels": tuple(
            _part(Labels, f"labels.{i}", numbers[f"labels.{i}"], arrays) for i in range(n_labels)
        ),
        "token_count": arrays["token_count"],
        "vocabulary": None if words is None else tuple(words),
        "provenance": Provenance.from_json(header["provenance"]),
    }


def _part(kind: type, name: str, numbers: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    content = {
        field.name: arrays[f"{name}.{field.name}"]
        for field in fields(kind)
        if f"{name}.{field.name}" in arrays
    }
    plain = {key: tuple(v) if isinstance(v, list) else v for key, v in numbers.items()}
    return kind(**content, **plain)
