"""Which tokens a word is made of, by the characters of both.

The text is tokenized once, as a model would read it; a token belongs to a word if their characters
overlap. Blanks that a tokenizer counts to a token are not its characters: a lone space, and the
mark that SentencePiece puts before a text, belong to no word. Tokens that are parts of one
character (byte-level, byte fallback) have the same span and all belong to its word.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

NO_TOKEN = "a mention without a token"
SHARED = "a token shared with another word"
_MARK = "\N{LOWER ONE EIGHTH BLOCK}"
"""SentencePiece's blank."""


def visible_spans(
    text: str, offsets: Int[np.ndarray, "n 2"], strings: Sequence[str]
) -> Int[np.ndarray, "n 2"]:
    """The characters of each token without blanks around them; (a, a) for a token without any.

    `strings` are the tokens as the vocabulary spells them.
    """
    spans = np.array(offsets, np.int64).reshape(-1, 2)
    for i, (start, stop) in enumerate(spans.tolist()):
        if strings[i] == _MARK and text[start:stop] != _MARK:
            spans[i] = start, start
            continue
        inside = text[start:stop]
        left = len(inside) - len(inside.lstrip())
        spans[i] = start + left, max(start + left, start + len(inside.rstrip()))
    return spans


def mention_tokens(
    text: str, span: tuple[int, int], visible: Int[np.ndarray, "n 2"]
) -> tuple[int, int] | str:
    """The tokens of characters [start, stop), as first and after the last; or why there are none.

    `SHARED` if one of its tokens has characters of another word as well.
    """
    start, stop = span
    inside = text[start:stop]
    stop -= len(inside) - len(inside.rstrip())
    start += len(inside) - len(inside.lstrip())
    overlaps = (visible[:, 0] < stop) & (visible[:, 1] > start) & (visible[:, 0] < visible[:, 1])
    (tokens,) = overlaps.nonzero()
    if not len(tokens):
        return NO_TOKEN
    if visible[tokens, 0].min() < start or visible[tokens, 1].max() > stop:
        return SHARED
    return int(tokens[0]), int(tokens[-1]) + 1


def token_before(text: str, character: int, visible: Int[np.ndarray, "n 2"]) -> int | None:
    """The token after which `character` is next, blanks before it passed over.

    None if no token begins there. -1 if it is the first.
    """
    while character < len(text) and text[character].isspace():
        character += 1
    starts = (visible[:, 0] == character) & (visible[:, 1] > character)
    return int(starts.argmax()) - 1 if starts.any() else None
