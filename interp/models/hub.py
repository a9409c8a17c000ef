"""A model's files from the Hugging Face hub, with the commit they were resolved to.

`HF_HUB_OFFLINE=1` is honoured: then only what the local cache holds is found.
"""

from dataclasses import replace
from pathlib import Path

from interp.models.reference import ModelReference, resolve
from interp.results.errors import BadInput

_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
# Copies in other formats live in subdirectories or under `consolidated`, often as large again.
_COPIES = ("*/*", "consolidated*")


def fetch(reference: ModelReference, *, trust_remote_code: bool = False) -> ModelReference:
    """`reference` with `path` on disk; for a hub model `revision` becomes the commit.

    Downloads config, tokenizer and safetensors only; Python files only with `trust_remote_code`.
    Raises BadInput in one line when the model, the revision or the network is not there.
    """
    if reference.hub_id is None or reference.path is not None:
        return reference
    patterns = [*_FILES, *(["*.py"] if trust_remote_code else [])]
    path = _snapshot(reference.hub_id, reference.revision, patterns)
    return replace(reference, path=path, revision=path.name)


def directory_of(ref: str | Path, *, revision: str | None = None) -> Path:
    """The directory of a bundled name, a path or a hub id (fetched if it is not there)."""
    path = fetch(resolve(str(ref), revision=revision)).path
    if path is None:
        raise BadInput(f"{ref} has no files")
    return path


def _snapshot(hub_id: str, revision: str | None, patterns: list[str]) -> Path:
    from httpx import HTTPError
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(
            snapshot_download(
                hub_id, revision=revision, allow_patterns=patterns, ignore_patterns=list(_COPIES)
            )
        )
    except GatedRepoError as error:
        raise BadInput(
            f"{hub_id} is gated: accept its terms on the hub, then `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise BadInput(f"{hub_id} has no revision {revision!r} on the hub") from error
    except RepositoryNotFoundError as error:
        raise BadInput(
            f"no model {hub_id!r}: it is no directory here, not bundled, and not on the hub "
            "(or private: `hf auth login`)"
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HTTPError, HfHubHTTPError) as error:
        wanted = f"{hub_id} at {revision}" if revision else hub_id
        raise BadInput(
            f"{wanted} is no directory here, not bundled, not in the local hub cache, and the hub "
            "cannot be reached: check the name and the network, or give a directory"
        ) from error
    except HFValidationError as error:
        raise BadInput(f"{hub_id!r} is not a hub id") from error
