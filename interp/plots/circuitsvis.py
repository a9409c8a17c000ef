"""CircuitsVis pictures that are safe to open: coloured tokens and attention patterns.

The one way we use CircuitsVis. Its own figures ask the network for their code, leave `<` as it is
inside a script, and hand token text to `innerHTML`; so only its bundle is used, inlined once a
page, under a policy that forbids every request, and text is made harmless before it goes in.
A picture shows itself in a notebook, in a frame without access to the notebook's page.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from interp.plots.colors import NEGATIVE, POSITIVE, symmetric_limit
from interp.plots.tokens import token_text
from interp.results.errors import BadInput, Unsupported
from interp.results.escape import html_text, script_json
from interp.results.provenance import Provenance

MAX_TOKENS = 4096
MAX_ENTRIES = 1 << 19
"""Attention entries in one picture: a page of them stays under 5 MB."""
_TABLE_ROWS = 20
_WORD_JOINER = "\u2060"
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; margin: 1.5rem; }
h1 { font-size: 1.3rem; font-weight: 600; } figure { margin: 1rem 0 2rem; }
figcaption, summary, footer { color: #52606d; font-size: .85rem; }
table { border-collapse: collapse; margin: .5rem 0; font-size: .85rem; }
th, td { text-align: left; padding: .15rem .9rem .15rem 0; border-bottom: 1px solid #e4e7eb; }
td:last-child { text-align: right; font-variant-numeric: tabular-nums; }
[id^=picture-] [style*="aspect-ratio"] { flex: 1 1 0; min-width: 0; }
"""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One CircuitsVis component with its properties, its caption and its numbers as a table."""

    component: str
    properties: dict[str, Any]
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    height: int
    """Pixels that the picture needs in a notebook."""

    def _repr_html_(self) -> str:
        page = html_text(html_page([self], title=self.caption))
        return (
            f'<iframe sandbox="allow-scripts" title="{html_text(self.caption)}" srcdoc="{page}" '
            f'style="width:100%;height:{self.height}px;border:0;resize:vertical"></iframe>'
        )


def colored_tokens(
    tokens: Sequence[str],
    values: Float[np.ndarray, " pos"],
    *,
    caption: str = "value of each token",
    limit: float | None = None,
) -> Picture:
    """Tokens on a scale from blue (negative) over white (0) to red, full colour at `limit`.

    Values are rounded to three significant digits. Raises BadInput on more than MAX_TOKENS
    tokens, another number of values, NaN or infinity.
    """
    _check_tokens(tokens, len(values))
    _check_finite(values)
    limit = symmetric_limit(values) if limit is None else limit
    shown = [_harmless(token) for token in tokens]
    rounded = [float(f"{value:.3g}") for value in values]
    return Picture(
        component="ColoredTokens",
        properties={"tokens": shown, "values": rounded, **_colors(limit)},
        caption=caption,
        columns=("position", "token", "value"),
        rows=tuple(
            (str(position), token_text(token), f"{value:.3g}")
            for position, (token, value) in enumerate(zip(tokens, rounded, strict=True))
        ),
        height=220 + 30 * (sum(map(len, shown)) // 90),
    )


def attention_heads(
    tokens: Sequence[str],
    attention: Float[np.ndarray, "n_heads query key"],
    *,
    names: Sequence[str] | None = None,
    caption: str = "attention from each token (row) to the tokens before it",
) -> Picture:
    """Attention patterns of some heads over one text, causal; hover a head to enlarge it.

    Values are rounded to three digits. Raises BadInput on more than MAX_ENTRIES entries, a
    pattern that is not tokens by tokens, NaN or infinity.
    """
    n_heads, query, key = attention.shape
    if query != key:
        raise BadInput(f"the pattern is {query} by {key}: expected one row and column a token")
    if attention.size > MAX_ENTRIES:
        raise BadInput(
            f"{n_heads} heads of {query} x {key} are {attention.size:,} entries, more than "
            f"{MAX_ENTRIES:,}: choose fewer heads or a shorter text"
        )
    _check_tokens(tokens, query)
    _check_finite(attention)
    names = [f"head {head}" for head in range(n_heads)] if names is None else names
    if len(names) != n_heads:
        raise BadInput(f"{len(names)} names for {n_heads} heads: expected one each")
    return Picture(
        component="AttentionHeads",
        properties={
            "attention": attention.round(3).tolist(),
            "tokens": [_harmless(token) for token in tokens],
            "attentionHeadNames": [_harmless(name) for name in names],
            **_colors(1.0),
        },
        caption=caption,
        columns=("head", "from", "to", "attention"),
        rows=_strongest(tokens, attention, names),
        height=900,
    )


def html_page(
    pictures: Sequence[Picture], *, title: str, provenance: Provenance | None = None
) -> str:
    """A whole HTML page of `pictures` that asks the network for nothing, the bundle in it once.

    The provenance stands in the footer and, whole, in a JSON element with the id `provenance`.
    """
    figures = "\n".join(_figure(index, picture) for index, picture in enumerate(pictures))
    calls = "\n".join(
        f'CircuitsVis.render("picture-{index}", CircuitsVis.{picture.component}, '
        f"{script_json(picture.properties)});"
        for index, picture in enumerate(pictures)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{html_text(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{html_text(title)}</h1>{figures}{_footer(provenance)}"
        f"<script>{_bundle()}\n{calls}</script></body></html>"
    )


@cache
def _bundle() -> str:
    spec = find_spec("circuitsvis")
    if spec is None or spec.origin is None:
        raise Unsupported("circuitsvis is not installed: `pip install circuitsvis`")
    source = (Path(spec.origin).parent / "dist" / "cdn" / "iife.js").read_text(encoding="utf-8")
    code = source.partition("//# sourceMappingURL")[0]
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _figure(index: int, picture: Picture) -> str:
    head = "".join(f"<th>{html_text(column)}</th>" for column in picture.columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html_text(cell)}</td>" for cell in row) + "</tr>"
        for row in picture.rows
    )
    return (
        f'<figure><figcaption>{html_text(picture.caption)}</figcaption><div id="picture-{index}">'
        f"</div><details><summary>The numbers as a table</summary><table><thead><tr>{head}</tr>"
        f"</thead><tbody>{body}</tbody></table></details></figure>"
    )


def _footer(provenance: Provenance | None) -> str:
    if provenance is None:
        return ""
    content = provenance.to_json()
    settings = html_text(json.dumps(content["settings"], sort_keys=True)[:500])
    return (
        f"<footer>Made by <code>{html_text(provenance.command)}</code>, seed {provenance.seed}, "
        f"model {html_text(str(provenance.model_hash)[:12])}; {settings}</footer>"
        f'<script type="application/json" id="provenance">{script_json(content)}</script>'
    )


def _strongest(
    tokens: Sequence[str], attention: Float[np.ndarray, "n_heads query key"], names: Sequence[str]
) -> tuple[tuple[str, ...], ...]:
    causal = np.tril(np.ones(attention.shape[1:], dtype=bool))
    masked = np.where(causal, attention, -np.inf)
    order = np.argsort(-masked, axis=None, kind="stable")[: min(_TABLE_ROWS, int(causal.sum()))]
    places: list[list[int]] = np.stack(np.unravel_index(order, attention.shape), axis=1).tolist()
    return tuple(
        (
            token_text(names[head]),
            f"{token_text(tokens[query])} ({query})",
            f"{token_text(tokens[key])} ({key})",
            f"{attention[head, query, key]:.3f}",
        )
        for head, query, key in places
    )


def _colors(limit: float) -> dict[str, Any]:
    return {
        "minValue": -limit,
        "maxValue": limit,
        "negativeColor": NEGATIVE,
        "positiveColor": POSITIVE,
    }


def _harmless(text: str) -> str:
    """`text` that is the same characters to a reader as text and as HTML.

    An HTML parser takes `<` and `&` as text when no letter, `/`, `!`, `?` or `#` follows; an
    invisible word joiner stands between. CircuitsVis shows a token both ways.
    """
    return token_text(text).replace("<", "<" + _WORD_JOINER).replace("&", "&" + _WORD_JOINER)


def _check_tokens(tokens: Sequence[str], expected: int) -> None:
    if len(tokens) != expected:
        raise BadInput(f"{len(tokens)} tokens but {expected} values: expected one value a token")
    if len(tokens) > MAX_TOKENS:
        raise BadInput(f"{len(tokens):,} tokens, more than {MAX_TOKENS:,}: choose a part of them")


def _check_finite(values: Float[np.ndarray, "..."]) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        place = tuple(np.argwhere(bad)[0].tolist())
        raise BadInput(f"{int(bad.sum())} values are NaN or infinite, the first at {place}")
