"""Written transfer: whether a model directory is the very transfer that a comparison tests."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interp.abilities.comparing.comparator import Scales
from interp.abilities.moving.lineage import FILE, Lineage
from interp.models.identity import model_identity
from interp.results.errors import Mismatch

_HOW_ADDED = {"select": "least", "sim_support": "mask", "sim_absolute": False}


def read_transfer(directory: Path) -> dict[str, Any]:
    """The recipe of a directory that `transfer` wrote. Mismatch if its weights are not of one."""
    lineage = Lineage.load(directory)
    if lineage is None or lineage.recipe.get("made_by") != "transfer":
        raise Mismatch(
            f"{directory} does not say that it is a transfer (in {FILE}): write one with "
            "`interp ability transfer`, or leave out --transferred"
        )
    root = model_identity(directory).root
    if lineage.root != root:
        raise Mismatch(
            f"the weights of {directory} are {root[:12]}, and its {FILE} tells of "
            f"{lineage.root[:12]}: write it again with `interp ability transfer`"
        )
    return lineage.recipe


def check_parts(
    directory: Path, recipe: Mapping[str, Any], *, base: str, language: str, ability: str
) -> None:
    """Mismatch unless it was made of this base, language model and ability weights (hashes)."""
    abilities = [one.get("data_sha256") for one in recipe.get("abilities", ())]
    for what, found, expected in (
        ("base", [recipe.get("base")], base),
        ("language model", recipe.get("languages", []), language),
        ("ability weights", abilities, ability),
    ):
        if found != [expected]:
            had = ", ".join(str(one)[:12] for one in found) or "none"
            raise Mismatch(
                f"{directory} was made of {what} {had}, and the comparison is of {expected[:12]}: "
                "write the transfer of these models with `interp ability transfer`, or leave out "
                "--transferred"
            )


def check_settings(
    directory: Path, recipe: Mapping[str, Any], scales: Scales, *, k2: float, command: str
) -> None:
    """Mismatch unless it was made with these scales and `k2`; `command` would write that one."""
    expected: dict[str, Any] = {
        "gamma": [scales.gamma],
        "eta": scales.eta,
        "eta_rest": scales.eta,
        "mu": [1.0],
        "types": None,
        "k2": k2,
        **(_HOW_ADDED if k2 < 1.0 else {}),
    }
    for name, value in expected.items():
        if recipe.get(name) != value:
            raise Mismatch(
                f"{directory} was made with {name} {_said(recipe.get(name))}, and the comparison "
                f"tests {name} {_said(value)}: leave out --transferred, or run `{command}`"
            )


def transfer_command(
    *, base: str | Path, weights: str | Path, language: str | Path, scales: Scales, k2: float,
    out: str | Path,
) -> str:  # fmt: skip
    """The command line that writes the transfer with these scales."""
    parts = ["interp", "ability", "transfer", base, weights, "--language", language]
    settings = ["--gamma", scales.gamma, "--eta", scales.eta, "--k2", k2, "--cast", "--out", out]
    return shlex.join(str(part) for part in [*parts, *settings])


def _said(value: Any) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
