"""Whether neurons were chosen on sequences that they are then tested on."""

from collections.abc import Sequence

import numpy as np

from interp.capture.store import ActivationStore
from interp.modules.perturbation.items import FunctionItem
from interp.results.errors import BadInput

_ROWS_AT_ONCE = 1 << 20


def check_unseen(
    items: Sequence[FunctionItem], store: ActivationStore, special_ids: Sequence[int]
) -> None:
    """BadInput if the tokens of a test item are a sequence or document of the store of the scores.

    A packed store has many documents in a sequence, and parts of one in two. Special tokens do not
    count: a store may have been captured without them.
    """
    special = set(special_ids)
    tested = {tuple(i for i in item.tokens if i not in special) for item in items}
    seen = _runs(store, "sequence", special) | _runs(store, "document", special)
    if shared := len(tested & seen):
        raise BadInput(
            f"{shared} of {len(tested)} test sequences stand in the store that the neurons were "
            "chosen on: test on others, or capture another split"
        )


def _runs(store: ActivationStore, unit: str, special: set[int]) -> set[tuple[int, ...]]:
    """The text tokens of every sequence or every document, special ones left out."""
    found: dict[int, list[int]] = {}
    for start in range(0, store.n_rows, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, store.n_rows)
        columns = (store.column(name, start, stop) for name in ("token", unit, "is_special"))
        token, number, is_special = (np.asarray(column) for column in columns)
        text = (is_special == 0) & ~np.isin(token, list(special))
        for key, i in zip(number[text].tolist(), token[text].tolist(), strict=True):
            found.setdefault(key, []).append(i)
    return {tuple(tokens) for tokens in found.values()}
