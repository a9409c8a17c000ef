"""Coloured tokens as plain HTML without scripts: spans, a legend, the number on hover."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from interp.plots.colors import NEGATIVE, POSITIVE, diverging_color, symmetric_limit, text_on
from interp.results.escape import html_text, visible

_TOKEN_LENGTH = 80
_MARKS = "[\u0300-\u036f\u1ab0-\u1aff\u20d0-\u20ff]"
_COMBINING = re.compile(f"({_MARKS}{{2}}){_MARKS}+")
_SPAN = (
    '<span title="{title}" style="background:{background};color:{color};{border}'
    'padding:.12em .16em;border-radius:.2em;white-space:pre-wrap">{text}</span>'
)
_CELL = "padding:.3rem .9rem .3rem 0;border-bottom:1px solid #e5e7eb;vertical-align:middle;"
_NUMBER = _CELL + "text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap"
_MARK = "outline:2px solid #111827;outline-offset:1px;"
_BLOCK = '<div style="font-family:monospace;font-size:.92rem;line-height:2;overflow-wrap:anywhere">'


@dataclass(frozen=True, kw_only=True)
class Context:
    """A stretch of text around one token, and the numbers that stand beside it."""

    tokens: Sequence[str]
    values: Float[np.ndarray, " pos"]
    marked: int
    """Index of the token that the context is about."""
    numbers: tuple[str, ...]


def context_table(contexts: Sequence[Context], *, columns: Sequence[str], limit: float) -> str:
    """HTML of contexts one a row, coloured as `token_strip` does, their numbers to the right."""
    head = f'<th scope="col" style="{_CELL}text-align:left">context</th>' + "".join(
        f'<th scope="col" style="{_NUMBER}">{html_text(column)}</th>' for column in columns
    )
    body = "".join(
        f'<tr><td style="{_CELL}">'
        + token_strip(context.tokens, context.values, limit=limit, marked=context.marked)
        + "</td>"
        + "".join(f'<td style="{_NUMBER}">{html_text(text)}</td>' for text in context.numbers)
        + "</tr>"
        for context in contexts
    )
    return (
        '<table style="border-collapse:collapse;font-size:.92rem">'
        f'<thead style="color:#4b5563"><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def token_text(token: str) -> str:
    """A token for one line of a page: at most 80 characters, marks spelled out, "∅" if empty.

    Of combining marks in a row two are kept: a thousand would cover the rest of the page.
    """
    return visible(_COMBINING.sub(r"\1…", token[: 2 * _TOKEN_LENGTH]), limit=_TOKEN_LENGTH) or "∅"


def token_strip(
    tokens: Sequence[str],
    values: Float[np.ndarray, " pos"],
    *,
    limit: float | None = None,
    marked: int | None = None,
) -> str:
    """HTML of tokens in a row, blue below zero, white at zero, red above, full at ±`limit`.

    A NaN (nothing measured) stands on grey. The token at index `marked` is outlined. Every token
    is escaped, control and direction marks are spelled out.
    """
    limit = symmetric_limit(values) if limit is None else limit
    spans = (
        _token(token, float(value), limit, is_marked=index == marked)
        for index, (token, value) in enumerate(zip(tokens, values, strict=True))
    )
    return _BLOCK + "<wbr>".join(spans) + "</div>"


def scale_legend(limit: float, *, unit: str) -> str:
    """HTML of the colour scale from -limit over 0 to +limit, with its numbers and its unit."""
    bar = f"linear-gradient(to right, {NEGATIVE}, #ffffff, {POSITIVE})"
    return (
        '<div style="display:flex;align-items:center;gap:.6rem;font-size:.85rem;color:#374151">'
        f"<span>−{limit:.3g}</span>"
        f'<span role="img" aria-label="colour scale from blue, -{limit:.3g}, over white, 0, to '
        f'red, {limit:.3g}" style="width:11rem;height:.7rem;border:1px solid #d1d5db;'
        f'border-radius:.2rem;background:{bar}"></span>'
        f"<span>+{limit:.3g}</span><span>{html_text(visible(unit))}, white is 0</span></div>"
    )


def _token(token: str, value: float, limit: float, *, is_marked: bool) -> str:
    measured = np.isfinite(value)
    background = diverging_color(value, limit) if measured else "#d1d5db"
    shown = token_text(token)
    number = f"{value:.3g}" if measured else "not measured"
    return _SPAN.format(
        title=html_text(f"{shown} : {number}"),
        background=background,
        color=text_on(background),
        border=_MARK if is_marked else "",
        text=html_text(shown),
    )
