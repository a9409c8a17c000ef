"""The colours of every picture: diverging, centred on zero, safe for colour-blind eyes."""

import numpy as np
from jaxtyping import Float

POSITIVE = "#b2182b"
NEGATIVE = "#2166ac"
NEUTRAL = "#4b5563"
DIVERGING = [[0.0, NEGATIVE], [0.5, "#ffffff"], [1.0, POSITIVE]]
"""The same scale for plotly: blue below zero, white at zero, red above (after ColorBrewer RdBu)."""


def symmetric_limit(values: Float[np.ndarray, "..."]) -> float:
    """The largest finite absolute value, 1.0 where there is none: the end of a centred scale."""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size else 0.0
    return largest if largest > 0 else 1.0


def diverging_color(value: float, limit: float) -> str:
    """`#rrggbb` for `value` on a scale that is white at 0 and full at ±`limit`."""
    share = min(abs(value) / limit, 1.0)
    full = _channels(POSITIVE if value > 0 else NEGATIVE)
    mixed = (round(255 + share * (channel - 255)) for channel in full)
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def text_on(background: str) -> str:
    """Black or white, whichever has the larger contrast on `background` (at least 4.5 to 1)."""
    luminance = relative_luminance(background)
    return "#000000" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "#ffffff"


def relative_luminance(color: str) -> float:
    """Relative luminance of `#rrggbb` as WCAG 2 defines it, 0 for black to 1 for white."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (channel / 255 for channel in _channels(color))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
