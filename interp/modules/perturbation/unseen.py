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
    """BadInput if the tokens of a test item stand as a sequence in the store scores were made of.

    Special tokens do not count: a store may have been captured without them.
    """
    special = set(special_ids)
    tested = {tuple(i for i in item.tokens if i not in special) for item in items}
    if shared := len(tested & _sequences(store)):
        raise BadInput(
            f"{shared} of {len(tested)} test sequences stand in the store that the neurons were "
            "chosen on: test on others, or capture another split"
        )


def _sequences(store: ActivationStore) -> set[tuple[int, ...]]:
    found: dict[int, list[int]] = {}
    for start in range(0, store.n_rows, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, store.n_rows)
        columns = (store.column(name, start, stop) for name in ("token", "sequence", "is_special"))
        token, sequence, is_special = (np.asarray(column) for column in columns)
        text = is_special == 0
        for number, i in zip(sequence[text].tolist(), token[text].tolist(), strict=True):
            found.setdefault(number, []).append(i)
    return {tuple(tokens) for tokens in found.values()}
