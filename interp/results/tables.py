"""Tables of a finding: lines for a terminal as wide as they are, and HTML for a notebook."""

from collections.abc import Iterable, Sequence

from interp.results.escape import html_text, visible

Cells = Sequence[str]


def columns_aligned(rows: Iterable[Cells]) -> str:
    """Rows of cells as lines, each column as wide as its widest cell; safe for a terminal."""
    shown = [[visible(cell, limit=len(cell)) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in shown
    )


def text_table(heading: Cells, lines: Iterable[Cells], notes: Iterable[str]) -> str:
    """A table and, after an empty line, its notes, which come safe for a terminal."""
    return "\n".join([columns_aligned([heading, *lines]), "", *notes])


def html_table(heading: Cells, lines: Iterable[Cells], notes: Iterable[str]) -> str:
    """A table and its notes as HTML; every text is escaped."""
    head = "".join(f"<th>{html_text(cell)}</th>" for cell in heading)
    body = "".join(
        f"<tr>{''.join(f'<td>{html_text(cell)}</td>' for cell in line)}</tr>" for line in lines
    )
    under = "".join(f"<p>{html_text(note)}</p>" for note in notes)
    return f"<table><tr>{head}</tr>{body}</table>{under}"
