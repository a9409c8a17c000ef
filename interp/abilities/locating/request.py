"""What can be asked of locating, checked before anything heavy is imported or read."""

from pathlib import Path
from pkgutil import iter_modules

from interp.abilities.units.units import KINDS
from interp.results.errors import BadInput, Unsupported

LEVELS = ("entry", *KINDS)
AT_REST = ("magnitude", "random")
"""Locators that need a base alone, which is read in pieces."""
OF_CHANGE = ("change", "contrast", "bottom", "allo_released")
"""Locators that compare a base with a training; one done elsewhere is read in pieces."""


def locator_names() -> list[str]:
    """The names of all locators, which are those of their files."""
    folder = Path(__file__).parent / "locators"
    return sorted(module.name for module in iter_modules([str(folder)]))


def check_request(*, locator: str, level: str, share: float) -> None:
    """Raise BadInput for an unknown locator or a share outside [0, 1], Unsupported for a level."""
    if locator not in locator_names():
        raise BadInput(f"no locator {locator!r}: there are {', '.join(locator_names())}")
    if level not in LEVELS:
        raise Unsupported(f"level {level!r} is not ranked: {', '.join(LEVELS)} are")
    if not 0.0 <= share <= 1.0:
        raise BadInput(f"a share of {share}: expected a number from 0 to 1, as 0.05 for 5%")


def check_at_rest(*, locator: str, trained: bool, general: bool) -> None:
    """Raise BadInput unless the locator scores just the directories that are given."""
    if locator in AT_REST:
        if trained or general:
            raise BadInput(
                f"locator {locator!r} looks at the base alone: leave out --trained, --general"
            )
    elif locator not in OF_CHANGE:
        raise BadInput(
            f"a training done elsewhere is scored by {', '.join(OF_CHANGE)}, not by {locator}: "
            "give training examples instead"
        )
    elif not trained:
        raise BadInput("nothing to locate by: give training examples, --trained or --like")
    elif general != (locator == "contrast"):
        raise BadInput(
            "locator 'contrast' needs --general beside --trained: the model that general data gave"
            if locator == "contrast"
            else f"locator {locator!r} has no use for --general beside --trained: contrast has"
        )
