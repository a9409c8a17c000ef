"""Tables and facts as plain HTML: every cell escaped, numbers to the right."""

from collections.abc import Mapping, Sequence

from interp.results.escape import html_text, visible

_TEXT_LIMIT = 400
_CELL = "padding:.35rem 1.1rem .35rem 0;border-bottom:1px solid #e5e7eb;vertical-align:top;"
_NUMBER = "text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;"
_TABLE = "border-collapse:collapse;font-size:.92rem;color:#1f2933;"


def html_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    caption: str = "",
) -> str:
    """An HTML table of text cells; the columns at the indices in `numbers` stand to the right."""
    styles = [_CELL + (_NUMBER if index in numbers else "") for index in range(len(columns))]
    head = "".join(
        f'<th scope="col" style="{style}text-align:{"right" if index in numbers else "left"};'
        f'color:#4b5563;font-weight:600">{shown(column)}</th>'
        for index, (column, style) in enumerate(zip(columns, styles, strict=True))
    )
    body = "".join(f"<tr>{_row(row, styles)}</tr>" for row in rows)
    title = f'<caption style="text-align:left;color:#4b5563">{shown(caption)}</caption>'
    return (
        f'<div style="overflow-x:auto"><table style="{_TABLE}">{title if caption else ""}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def facts(content: Mapping[str, str]) -> str:
    """An HTML list of named facts, one a line."""
    rows = "".join(
        f'<tr><th scope="row" style="{_CELL}text-align:left;color:#4b5563;font-weight:600;'
        f'white-space:nowrap">{shown(name)}</th><td style="{_CELL}overflow-wrap:anywhere">'
        f"{shown(value)}</td></tr>"
        for name, value in content.items()
    )
    return f'<table style="{_TABLE}width:100%"><tbody>{rows}</tbody></table>'


def shown(text: str, *, limit: int = _TEXT_LIMIT) -> str:
    """`text` for an HTML cell: one line, control marks spelled out, markup escaped."""
    return html_text(visible(text, limit=limit))


def _row(row: Sequence[str], styles: Sequence[str]) -> str:
    return "".join(
        f'<td style="{style}">{shown(cell)}</td>' for cell, style in zip(row, styles, strict=True)
    )
