"""Which rows of the base's token tables another side may change: those of the same tokens."""

from collections.abc import Mapping
from pathlib import Path

from interp.abilities.moving.compatibility import check_shape, vocabulary_tensors
from interp.abilities.moving.row_map import RowMap, rows_by_token
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.models.tokenizer import tokenizer_digest
from interp.models.vocabulary import vocabulary
from interp.results.errors import Mismatch


def table_rows(
    base: Checkpoint,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    tokenizer: Path | None,
    digest: str | None,
    where: str,
) -> dict[str, RowMap]:
    """For every token table among `shapes` its rows, unless each row simply stands for itself.

    `shapes` are the other side's tensors that are used, `tokenizer` the directory of its
    tokenizer.json (None if it has none) and `digest` its tokenizer's. With one tokenizer rows keep
    their numbers; with a tokenizer whose tokens the base has all, they are found by token string.
    Rows of padding are nobody's. Raises Mismatch for other tokenizers.
    """
    tables = vocabulary_tensors(shapes)
    if not tables:
        return {}
    own = tokenizer_digest(base.directory)
    tokens = vocabulary(base.directory)
    same = own == digest or own is None or digest is None
    theirs = tokens if same or tokenizer is None else vocabulary(tokenizer)
    if not same and (tokens is None or theirs is None or not theirs.keys() <= tokens.keys()):
        raise Mismatch(
            f"{where} has another tokenizer than {base.directory}, so the rows of {tables[0]!r} "
            "stand for other tokens: pass --skip-embeddings to leave these tensors as they are in "
            "the base"
        )
    found = {}
    for name in tables:
        span, shape = base.span(name), shapes[name]
        # Without both tokenizers nothing says which rows are the same.
        check_shape(span, shape, where=where, rows_too=own is None or digest is None)
        rows = rows_by_token(tokens, theirs, n_base=span.shape[0], n_other=shape[0])
        if not rows.is_identity or shape[0] != span.shape[0]:
            found[name] = rows
    return found
