"""Checkpoint series: the same model after more and more training, in the order of steps."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from interp.models.reference import resolve_series, step_directories
from interp.results.errors import BadInput

# Pythia: step1000. stanford-crfm: checkpoint-1000. OLMo: step1000-tokens4B.
_STEP_REVISION = re.compile(r"(?:step|checkpoint)[-_]?(\d+)(?:-tokens\w+)?")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One member of a series: `load(checkpoint.ref, revision=checkpoint.revision)`."""

    step: int
    ref: str
    revision: str | None
    """Of a hub model; None for directories."""


def checkpoints(ref: str) -> list[Checkpoint]:
    """The checkpoints of a directory of `step-N`, a bundled series or a hub model, by step.

    A hub model's are its branches and tags named as Pythia's, stanford-crfm's or OLMo's are; with
    `HF_HUB_OFFLINE=1`, those of them that the local cache holds. Raises BadInput if there are none.
    """
    series = resolve_series(ref)
    if series.path is not None:
        found = [
            Checkpoint(step=step, ref=str(path), revision=None)
            for step, path in step_directories(series.path).items()
        ]
    else:
        found = _of_revisions(ref, _hub_revisions(str(series.hub_id)))
    if not found:
        raise BadInput(
            f"{ref} is no series of checkpoints: it has no step-N directory and no stepN revision"
        )
    return found


def _of_revisions(hub_id: str, revisions: Iterable[str]) -> list[Checkpoint]:
    matches = ((name, _STEP_REVISION.fullmatch(name)) for name in revisions)
    by_step = {int(match[1]): name for name, match in sorted(matches, reverse=True) if match}
    return [Checkpoint(step=s, ref=hub_id, revision=by_step[s]) for s in sorted(by_step)]


def _hub_revisions(hub_id: str) -> list[str]:
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError

    if constants.HF_HUB_OFFLINE:
        return _cached_revisions(hub_id)
    from httpx import HTTPError

    try:
        refs = HfApi().list_repo_refs(hub_id)
    except RepositoryNotFoundError as error:
        raise BadInput(f"no model {hub_id!r} on the hub, and no such directory") from error
    except (HTTPError, OfflineModeIsEnabled, OSError) as error:
        raise BadInput(
            f"cannot list the revisions of {hub_id}: the hub cannot be reached; with "
            "HF_HUB_OFFLINE=1 those in the local cache are used"
        ) from error
    return [ref.name for ref in [*refs.branches, *refs.tags]]


def _cached_revisions(hub_id: str) -> list[str]:
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound as error:
        raise BadInput(f"{hub_id} is not in the local hub cache, and the hub is off") from error
    return [ref for repo in repositories if repo.repo_id == hub_id for ref in repo.refs]
