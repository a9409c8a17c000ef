"""The sentences of a CoNLL-U file: their text, their words, and where each word stands in it.

Ranges (1-2) give the characters, the words inside them the annotation; empty nodes (8.1) have no
characters and are passed over (universaldependencies.org/format.html).
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from interp.results.errors import BadInput

_N_FIELDS = 10


class Word(NamedTuple):
    """A line of a sentence that has an annotation."""

    columns: tuple[str, ...]
    surface: int
    """Index of the surface token whose characters it stands for."""
    line: int


class Sentence(NamedTuple):
    """One tree over one text."""

    text: str
    surfaces: list[tuple[int, int]]
    """First character of each surface token, and the one after its last."""
    words: list[Word]
    comments: dict[str, str]
    """`# key = value` lines; the value is empty where there is no `=`."""
    spaced: str
    """The text as the forms and their SpaceAfter say it is."""
    line: int
    """Its first line in the file."""

    def word_spans(self) -> list[tuple[int, int]]:
        """The characters of each word.

        The words of a range share its characters, unless their forms put together are exactly
        the range (do + n't): then each has its own.
        """
        members: dict[int, list[str]] = {}
        for word in self.words:
            members.setdefault(word.surface, []).append(word.columns[1])
        spans, inside = [], dict.fromkeys(members, 0)
        for word in self.words:
            start, stop = self.surfaces[word.surface]
            if "".join(members[word.surface]) == self.text[start:stop]:
                start += inside[word.surface]
                stop = start + len(word.columns[1])
                inside[word.surface] += len(word.columns[1])
            spans.append((start, stop))
        return spans


def sentence_blocks(
    file: Iterator[bytes], seen: Callable[[bytes], None] = lambda _: None
) -> Iterator[tuple[int, int, list[bytes]]]:
    """Byte offset and line number of every sentence, both from where reading began; its lines."""
    lines: list[bytes] = []
    offset, first, position = 0, 1, 0
    for number, line in enumerate(file, start=1):
        seen(line)
        if line.strip():
            if not lines:
                offset, first = position, number
            lines.append(line)
        elif lines:
            yield offset, first, lines
            lines = []
        position += len(line)
    if lines:
        yield offset, first, lines


def parse_sentence(lines: list[bytes], number: int, path: Path) -> Sentence:
    """The text of a sentence, from `# text` or put together, and where its words stand in it.

    Raises BadInput with file and line for a line that is no CoNLL-U, and a word that does not
    stand where the sentence's text says.
    """
    comments: dict[str, str] = {}
    forms, words, until = [], [], 0
    for line_number, raw in enumerate(lines, start=number):
        where = f"{path}, line {line_number}"
        line = _decoded(raw, where)
        if line.startswith("#"):
            key, _, value = line[1:].partition("=")
            comments[key.strip()] = value.strip()
            continue
        columns = tuple(line.split("\t"))
        if len(columns) != _N_FIELDS:
            raise BadInput(f"{where} has {len(columns)} columns, CoNLL-U has {_N_FIELDS}")
        first, is_range, last = columns[0].partition("-")
        if "." in columns[0]:
            continue
        if not first.isdigit() or (is_range and not last.isdigit()):
            raise BadInput(
                f"{where} has the word number {columns[0]!r}: 1, 1-2 or 1.1 was expected"
            )
        if is_range:
            forms.append((columns[1], "SpaceAfter=No" in columns[9].split("|"), where))
            until = int(last)
            continue
        if int(first) > until:
            forms.append((columns[1], "SpaceAfter=No" in columns[9].split("|"), where))
        words.append(Word(columns, len(forms) - 1, line_number))
    spaced = "".join(form + ("" if no_space else " ") for form, no_space, _ in forms).rstrip()
    text = comments.get("text", spaced)
    return Sentence(text, _places(text, forms), words, comments, spaced, number)


def _decoded(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8").rstrip("\r\n").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise BadInput(f"{where} is not UTF-8: {error.reason} at byte {error.start}") from error


def _places(text: str, forms: Sequence[tuple[str, bool, str]]) -> list[tuple[int, int]]:
    """Where each surface token stands, one after the other, spaces passed over."""
    places, at = [], 0
    for form, _, where in forms:
        while at < len(text) and text[at].isspace():
            at += 1
        if not text.startswith(form, at):
            raise BadInput(
                f"{where}: the word {form!r} does not stand in the sentence's text, where "
                f"{text[at : at + max(len(form), 1)]!r} is: mend the `# text` line, or leave it out"
            )
        places.append((at, at + len(form)))
        at += len(form)
    return places
