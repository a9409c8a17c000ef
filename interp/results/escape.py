"""Text from models, tokenizers and files, made safe for a page, a script or a terminal."""

import html
import json
import unicodedata
from typing import Any

_SCRIPT_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def html_text(text: str) -> str:
    """`text` for an HTML body or a quoted attribute: markup escaped, lone surrogates replaced."""
    return html.escape(text.encode("utf-8", "replace").decode("utf-8"), quote=True)


def script_json(content: Any) -> str:
    """`content` as JSON that cannot leave the `<script>` element it stands in."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False)
    for character, escape in _SCRIPT_ESCAPES.items():
        text = text.replace(character, escape)
    return text


def visible(text: str, *, limit: int = 200) -> str:
    """`text` on one line for a terminal or table: control and direction marks as \\u escapes."""
    shown = "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _INVISIBLE
        else character
        for character in text[:limit]
    )
    return shown + ("…" if len(text) > limit else "")


def plotly_text(text: str, *, limit: int = 40) -> str:
    """`text` for a plotly label, which takes some markup: angle brackets and ampersands as text."""
    shown = visible(text, limit=limit)
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
