"""Features by what they are for: by a token, by a label, by likeness to another feature."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int

from interp.dictionaries.views.chance import overlap_p
from interp.dictionaries.views.contexts import tokens_of
from interp.dictionaries.views.feature_hit import FeatureHit
from interp.dictionaries.views.feature_views import FeatureViews
from interp.dictionaries.views.parts import Contexts, Labels
from interp.results.errors import BadInput
from interp.results.escape import visible
from interp.results.significance import benjamini_hochberg

if TYPE_CHECKING:
    from sae_lens.saes.sae import SAE


def search_features(
    views: FeatureViews,
    *,
    token: str | int | None = None,
    label: tuple[str, int] | None = None,
    like: tuple["str | SAE[Any]", int | None] | None = None,
    n: int = 20,
) -> tuple[FeatureHit, ...]:
    """The best `n` features by exactly one of a token, a label's value or another feature.

    `token` is a string of the vocabulary or an id; `label` is (column, value); `like` is a
    dictionary, from this layer or another, this seed or another, and the number of its feature, or
    None to match whole dictionaries: each feature's nearest there. Decoder directions are compared,
    and need the dictionary of the views where it was. BadInput
    where there is no such token, label or feature; Mismatch for directions of other widths, and
    where the views' dictionary has other weights by now.
    """
    asked = [value is not None for value in (token, label, like)]
    if sum(asked) != 1:
        raise BadInput("search by one of a token, a label or a feature to be like")
    if token is not None:
        return _by_token(views, token)[:n]
    if label is not None:
        return _by_label(views, *label)[:n]
    assert like is not None
    from interp.dictionaries.views.likeness import like_feature, matched

    dictionary, feature = like
    if feature is None:
        return matched(views, dictionary)[:n]
    return like_feature(views, dictionary, feature)[:n]


def _by_token(views: FeatureViews, token: str | int) -> tuple[FeatureHit, ...]:
    ids = token_ids(views, token)
    count = np.asarray(views.token_count)
    n_token = int(count[ids[ids < len(count)]].sum())
    if n_token == 0:
        raise BadInput(f"token {token!r} stands in no row of {views.store}: search for another")
    hits, drawn = context_hits(views, ids)
    p = overlap_p(hits, drawn=drawn, marked=np.full(len(hits), n_token), n=views.n_rows)
    q = benjamini_hochberg(p)
    lift = hits / np.maximum(drawn, 1) / (n_token / views.n_rows)
    # Above chance first, by lift; among equals the feature that fires more often.
    order = np.lexsort((-np.asarray(views.activity.n_active), -lift, q > 0.05))
    return tuple(
        FeatureHit(
            feature=int(i),
            score=float(lift[i]),
            null=1.0,
            q_value=float(q[i]),
            evidence=f"{hits[i]} of {drawn[i]} contexts; {n_token:,} of {views.n_rows:,} rows",
        )
        for i in order
        if hits[i]
    )


def token_ids(views: FeatureViews, token: str | int) -> Int[np.ndarray, " ids"]:
    """The ids that show as `token`; BadInput with near ones where there is none."""
    if isinstance(token, int):
        return np.array([token])
    if views.vocabulary is None:
        raise BadInput(f"{views.store} has no vocabulary: search by the token's id")
    found = [i for i, word in enumerate(views.vocabulary) if word == token]
    if not found:
        bare = token.strip().casefold()
        near = [w for w in views.vocabulary if bare and w.strip(" ▁Ġ").casefold() == bare][:5]
        said = f": did you mean {', '.join(map(repr, near))}?" if near else ""
        raise BadInput(f"no token of the vocabulary is {token!r}{visible(said)}")
    return np.array(found)


def context_hits(
    views: FeatureViews, ids: Int[np.ndarray, " ids"]
) -> tuple[Int[np.ndarray, " d_sae"], Int[np.ndarray, " d_sae"]]:
    """How many of each feature's contexts fire on one of `ids`, and how many it has."""
    strongest, sampled = views.strongest, views.sampled
    first, second = np.asarray(strongest.row) >= 0, _new_rows(strongest, sampled)
    hits = (first & np.isin(tokens_of(strongest), ids)).sum(axis=1)
    hits += (second & np.isin(tokens_of(sampled), ids)).sum(axis=1)
    return hits, first.sum(axis=1) + second.sum(axis=1)


def _new_rows(strongest: Contexts, sampled: Contexts) -> Bool[np.ndarray, "d_sae n"]:
    row = np.asarray(sampled.row)
    known = (row[:, :, None] == np.asarray(strongest.row)[:, None, :]).any(axis=2)
    return (row >= 0) & ~known


def _by_label(views: FeatureViews, column: str, value: int) -> tuple[FeatureHit, ...]:
    label = _label(views, column)
    if value not in label.values:
        raise BadInput(f"{column} is never {value}: it takes {', '.join(map(str, label.values))}")
    index = label.values.index(value)
    precision = np.asarray(label.average_precision[:, index])
    q, base = np.asarray(label.q_value[:, index]), float(label.base_rate[index])
    order = np.lexsort((-precision, ~((q <= 0.05) & (precision > base))))
    return tuple(
        FeatureHit(
            feature=int(i),
            score=float(precision[i]),
            null=base,
            q_value=float(q[i]),
            evidence=f"fires in {label.fired[i, index]:,} of {label.n[index]:,} {label.unit}, "
            f"{label.expected[i, index]:,.1f} by chance",
        )
        for i in order
    )


def _label(views: FeatureViews, column: str) -> Labels:
    for label in views.labels:
        if label.column == column:
            return label
    if column in views.labels_left_out:
        raise BadInput(f"label {column!r} was left out: it {views.labels_left_out[column]}")
    names = ", ".join(label.column for label in views.labels)
    raise BadInput(f"the views have no label {column!r}: they have {names or 'none'}")
