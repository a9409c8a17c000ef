"""Locate in checkpoints at rest: read in pieces, with no model in memory and no data.

For locators that need a base alone (`magnitude`, `random`), or beside it a training that was done
elsewhere (`change`, `contrast`, `bottom`, `allo_released`).
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from interp.abilities.locating.locator import Locator
from interp.abilities.locating.locators import locator_named
from interp.abilities.locating.locators.allo_released import kept_in_pieces
from interp.abilities.locating.locators.random import PURPOSE
from interp.abilities.locating.mask_made import check_level, mask_of
from interp.abilities.locating.ranked import is_embedding, tensors_ranked, unit_noise
from interp.abilities.locating.request import check_at_rest, check_request
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.random_mask import locating_provenance
from interp.abilities.masks.selection import Scope, Selection, select
from interp.abilities.masks.uniform import uniform_scores
from interp.abilities.streaming.change import absolute_change, absolute_size, excess_change
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.numbers import FLOATS
from interp.abilities.streaming.topk import Scores, top_entries
from interp.abilities.units.unit_choice import SharedKeys
from interp.abilities.units.unit_scores import UnitScore, unit_scores
from interp.abilities.units.unit_selection import choice_of, selection_of
from interp.abilities.units.units import layout_of
from interp.models.hub import directory_of
from interp.models.identity import ModelIdentity, model_identity
from interp.results.errors import Mismatch, Unsupported


def locate_at_rest(
    base: str | Path,
    trained: Path | None = None,
    *,
    locator: str,
    share: float = 0.05,
    scope: Scope = "global",
    rank_embeddings: bool = False,
    level: str = "entry",
    unit_score: UnitScore = "mean",
    kv: SharedKeys = "strict",
    general: Path | None = None,
    seed: int = 0,
) -> NeuronMask:
    """The share of a model's entries, or units, that a locator scores highest, read in pieces.

    `trained` is a short training that was done elsewhere. Save it in float32, or small changes
    vanish in the rounding. `general` is the same training on general data, for `contrast`. `seed`
    is that of `random`. The rest as in `locate`, whose masks these are.
    """
    check_request(locator=locator, level=level, share=share)
    check_at_rest(locator=locator, trained=trained is not None, general=general is not None)
    chosen = locator_named(locator)
    check_level(chosen, level)
    directory = directory_of(base)
    identity = model_identity(directory)
    settings: dict[str, Any] = {
        "locator": locator,
        "share": share,
        "scope": scope,
        "rank_embeddings": rank_embeddings,
    }
    settings |= {
        part: model_identity(path).root
        for part, path in (("trained", trained), ("general", general))
        if path is not None
    }
    drawn = "noise" in chosen.needs
    settings |= {"seed": seed} if drawn else {}
    settings |= {} if level == "entry" else {"level": level, "unit_score": unit_score, "kv": kv}
    with ExitStack() as stack:
        before, *after = (
            stack.enter_context(Checkpoint(d)) for d in (directory, trained, general) if d
        )
        _check_same_tensors(before, after)
        shapes = _weights(before, identity)
        scores = _scores(chosen, before, after, shapes, seed=seed)
        if level == "entry":
            ranked = {n: s for n, s in shapes.items() if rank_embeddings or not is_embedding(n)}
            selection = _entries(chosen, scores, ranked, share=share, scope=scope)
        else:
            layout = layout_of(directory)
            names = tensors_ranked(layout, level, with_groups=rank_embeddings, known=set(shapes))
            of_units = (
                unit_noise(layout, level, names, seed=seed).astype("float32")
                if drawn
                else unit_scores(layout, level, names, scores, how=unit_score)
            )
            choice = choice_of(
                layout, level, of_units, share=share, scope=scope, lowest=chosen.lowest, kv=kv
            )
            selection = selection_of(choice)
    provenance = locating_provenance(settings, identity, None, seed if drawn else None)
    return mask_of(selection, settings=settings, identity=identity, provenance=provenance)


def locate_between(
    base: str | Path, trained: Path, *, general: Path | None = None, **asked: Any
) -> NeuronMask:
    """The entries or units that moved most between two directories (`change`), read in pieces.

    With `general`, the same training on general data, the change that it makes too is taken off
    (`contrast`). What else is `asked` as in `locate_at_rest`.
    """
    locator = "change" if general is None else "contrast"
    return locate_at_rest(base, trained, locator=locator, general=general, **asked)


def _scores(
    locator: Locator,
    before: Checkpoint,
    after: Sequence[Checkpoint],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    seed: int,
) -> Scores:
    if "general_change" in locator.needs:
        return excess_change(before, *after)
    if "change" in locator.needs:
        return absolute_change(before, *after)
    if "noise" in locator.needs:
        return uniform_scores(shapes, seed=seed, purpose=PURPOSE)
    return absolute_size(before)


def _entries(
    locator: Locator,
    scores: Scores,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    share: float,
    scope: Scope,
) -> Selection:
    if locator.keep is None:
        return select(scores, shapes, share=share, scope=scope, lowest=locator.lowest)
    histogram = top_entries(shapes, scores, k=0).histogram
    return Selection(kept_in_pieces(scores, shapes, share), {}, histogram)


def _weights(checkpoint: Checkpoint, identity: ModelIdentity) -> dict[str, tuple[int, ...]]:
    """The shapes of what a model computes with: no buffers, and a tied output head once."""
    left_out = {head for head, embedding in identity.tied if embedding in checkpoint.spans}
    # Entries can be ranked, by name alone, in models whose layout we do not know.
    with suppress(Unsupported, Mismatch):
        groups = layout_of(checkpoint.directory).groups
        left_out |= {name for name, group in groups.items() if group == "buffer"}
    weights = {name: span for name, span in checkpoint.spans.items() if name not in left_out}
    for name, span in weights.items():
        if span.dtype not in FLOATS:
            raise Unsupported(
                f"tensor {name!r} of {checkpoint.directory} is {span.dtype}: expected "
                f"{', '.join(FLOATS)}; save the model in one of them"
            )
    return {name: span.shape for name, span in weights.items()}


def _check_same_tensors(before: Checkpoint, others: Sequence[Checkpoint]) -> None:
    shapes = {name: span.shape for name, span in before.spans.items()}
    for after in others:
        if {name: span.shape for name, span in after.spans.items()} != shapes:
            raise Mismatch(
                f"{after.directory} does not have the tensors of {before.directory}: "
                "no change to rank"
            )
