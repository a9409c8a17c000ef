"""Normaliser: what is taken from a generated text, and which differences in writing do not count.

It is declared, saved with the result and applied to what the model says and to the right answer
alike, so that a reader knows which answers counted as the same.
"""

import re
import unicodedata
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from interp.results.errors import CorruptFile

MARKERS = ("####", "answer:")
_NUMBER = re.compile(r"([+-]?)[$€£]?((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)\.?")
_MINUS = str.maketrans({"\u2212": "-", "\u2013": "-"})


@dataclass(frozen=True, kw_only=True)
class Normaliser:
    """Text to the answer in it, in one form. Characters are composed (Unicode NFC) in any case."""

    markers: tuple[str, ...] = MARKERS
    """The answer is what follows the last of these in the text, to the end of that line; the whole
    text where none occurs. Upper and lower case are one if `casefold`."""
    strip: bool = True
    """Drop white space at both ends, and make any white space within one space."""
    casefold: bool = True
    """Upper and lower case are one."""
    numbers: bool = True
    """A text that is a number, and nothing else, takes one form: no thousands commas, no currency
    sign, no plus, no zeros that say nothing, no full stop at the end. `1.000` is one, not a
    thousand."""

    def __call__(self, text: str) -> str:
        """The answer in `text`, in the declared form."""
        answer = self._after_marker(unicodedata.normalize("NFC", text))
        if self.strip:
            answer = " ".join(answer.split())
        if self.casefold:
            answer = unicodedata.normalize("NFC", answer.casefold())
        return _canonical_number(answer) if self.numbers else answer

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self) | {"markers": list(self.markers)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Normaliser":
        """The inverse of `to_json`. Raises CorruptFile on a field we do not know."""
        try:
            return cls(**{**content, "markers": tuple(content["markers"])})
        except (KeyError, TypeError) as error:
            raise CorruptFile(f"{content!r} is not a normaliser ({error})") from error

    def _after_marker(self, text: str) -> str:
        flags = re.IGNORECASE if self.casefold else re.NOFLAG
        ends = [
            found.end()
            for marker in self.markers
            for found in re.finditer(re.escape(marker), text, flags)
        ]
        if not ends:
            return text
        lines = text[max(ends) :].strip().splitlines()
        return lines[0] if lines else ""


def _canonical_number(text: str) -> str:
    bare = text.strip().translate(_MINUS)
    found = _NUMBER.fullmatch(bare)
    if found is None:
        return text
    value = Decimal(found[1] + found[2].replace(",", ""))
    digits = f"{value:f}"
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return "0" if not value else digits
