"""Features that point like another feature, or like any feature of another dictionary."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.dictionaries.files import open_dictionary
from interp.dictionaries.matching import axes_permuted, best_matches, directions, unit_rows
from interp.dictionaries.views.feature_hit import FeatureHit
from interp.dictionaries.views.feature_views import FeatureViews
from interp.dictionaries.weights_hash import weights_sha256
from interp.results.errors import BadInput, Mismatch

if TYPE_CHECKING:
    from sae_lens.saes.sae import SAE


def like_feature(
    views: FeatureViews, dictionary: "str | SAE[Any]", feature: int
) -> tuple[FeatureHit, ...]:
    """The viewed features by their cosine with one feature of `dictionary`."""
    own, theirs = _directions(views, dictionary)
    if not 0 <= feature < len(theirs):
        raise BadInput(f"feature {feature}: that dictionary has 0 to {len(theirs) - 1}")
    cosine = (unit_rows(own) @ unit_rows(theirs[feature : feature + 1]).T)[:, 0].cpu().numpy()
    null = np.full(len(cosine), views.neighbours.null, np.float32)
    return _hits(cosine, null, ["cosine of decoder directions"] * len(cosine))


def matched(views: FeatureViews, dictionary: "str | SAE[Any]") -> tuple[FeatureHit, ...]:
    """Each viewed feature by the cosine with its nearest in `dictionary`.

    Beside it what the nearest would be if that dictionary's axes stood in another order, which
    keeps how its features crowd together.
    """
    own, theirs = _directions(views, dictionary)
    there, back = best_matches(own, theirs), best_matches(theirs, own)
    generator = torch.Generator().manual_seed(0)
    null = best_matches(own, axes_permuted(theirs, generator=generator)).cosine
    mutual = back.index[there.index] == np.arange(len(there.index))
    evidence = [
        f"feature {j} there, " + ("each the other's nearest" if both else "which has a nearer one")
        for j, both in zip(there.index, mutual, strict=True)
    ]
    return _hits(there.cosine, null, evidence)


def _hits(
    cosine: Float[np.ndarray, " d_sae"], null: Float[np.ndarray, " d_sae"], evidence: list[str]
) -> tuple[FeatureHit, ...]:
    order = np.argsort(-np.nan_to_num(cosine, nan=-2.0), kind="stable")
    return tuple(
        FeatureHit(
            feature=int(i),
            score=float(cosine[i]),
            null=float(null[i]),
            q_value=float("nan"),
            evidence=evidence[i],
        )
        for i in order
    )


def _directions(
    views: FeatureViews, dictionary: "str | SAE[Any]"
) -> tuple[Float[Tensor, "d_sae d"], Float[Tensor, "d_other d"]]:
    own = directions(_viewed(views)).cpu()
    other = open_dictionary(dictionary) if isinstance(dictionary, str) else dictionary
    theirs = directions(other).cpu()
    if own.shape[1] != theirs.shape[1]:
        raise Mismatch(
            f"features of width {own.shape[1]} and {theirs.shape[1]} cannot be compared: take "
            "dictionaries of sites of one width"
        )
    return own, theirs


def _viewed(views: FeatureViews) -> "SAE[Any]":
    """The dictionary that was viewed; Mismatch where another lies in its place."""
    found = open_dictionary(views.dictionary, sae_id=views.sae_id)
    if weights_sha256(found) != views.weights_sha256:
        raise Mismatch(
            f"{views.dictionary} ({found.cfg.d_sae} features) no longer has the weights that were "
            f"viewed ({views.d_sae} features): view its features again"
        )
    return found
