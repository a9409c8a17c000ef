"""Bottom: the entries that a short training on the ability moves least; a control."""

from interp.abilities.locating.locator import Locator
from interp.abilities.locating.locators.change import change

LOCATOR = Locator(
    name="bottom",
    question="how little a short training on the ability moves the entry",
    source="control for `change`",
    needs=frozenset({"change"}),
    score=change,
    lowest=True,
)
