"""Dictionaries that others released: sae-lens's registry of them, and any repository of a hub."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from sae_lens import SAE
from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

from interp.dictionaries.restoring import check_finite, quiet_construction
from interp.results.errors import BadInput

_SHOWN = 5


def open_released(release: str, sae_id: str, *, device: str = "cpu") -> SAE[Any]:
    """The dictionary `sae_id` of a sae-lens release or of a hub repository, through sae-lens.

    BadInput in one line for a name that is neither, and where the hub cannot be reached.
    """
    check_released(release, sae_id)
    with _explained(release, sae_id), quiet_construction(), _quiet_advice():
        sae = SAE.from_pretrained_with_cfg_and_sparsity(release, sae_id, device=device)[0]
    check_finite(sae.state_dict(), f"{release} {sae_id}")
    sae.eval().requires_grad_(False)
    return sae


def check_released(release: str, sae_id: str | None) -> None:
    """BadInput unless the names can be those of a released dictionary; no network."""
    registry = get_pretrained_saes_directory()
    if release not in registry and release.count("/") != 1:
        near = get_close_matches(release, registry, n=3)
        raise BadInput(
            f"no dictionary {release!r}: it is no directory here, not bundled, no release of "
            f"sae-lens{_near(near)}, and no hub id (OWNER/NAME)"
        )
    ids = list(registry[release].saes_map) if release in registry else []
    if sae_id is None:
        some = f": it has {len(ids)}, as {', '.join(ids[:_SHOWN])}" if ids else ""
        raise BadInput(
            f"{release} is no directory here and not bundled; to fetch it, name one of its "
            f"dictionaries with --sae-id (sae_id=){some}"
        )
    if ids and sae_id not in ids:
        near = get_close_matches(sae_id, ids, n=3) or ids[:_SHOWN]
        raise BadInput(f"{release} has {len(ids)} dictionaries, none is {sae_id!r}{_near(near)}")


def _near(names: list[str]) -> str:
    return f" (near are {', '.join(names)})" if names else ""


@contextmanager
def _quiet_advice() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are loading an SAE using the HuggingFace")
        yield


@contextmanager
def _explained(release: str, sae_id: str) -> Iterator[None]:
    from httpx import HTTPError
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
    )
    from requests import RequestException

    unreachable = (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError)
    try:
        yield
    except GatedRepoError as error:
        raise BadInput(
            f"{release} is gated: accept its terms on the hub, then `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise BadInput(f"the hub has no {release} (or it is private: `hf auth login`)") from error
    except RemoteEntryNotFoundError as error:
        raise BadInput(f"{release} on the hub has no dictionary {sae_id!r}") from error
    except (*unreachable, HTTPError, RequestException) as error:
        raise BadInput(
            f"{release} {sae_id} is no directory here, not bundled, not in the local hub cache, "
            "and the hub cannot be reached: check the name and the network, or give a directory"
        ) from error
    except HFValidationError as error:
        raise BadInput(f"{release!r} is not a hub id") from error
