"""Make a Comparison: paired tests of one row against the others, adjusted together."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from interp.evaluation.comparison import Column, Comparison, Row
from interp.evaluation.items import Item, check_ids
from interp.evaluation.paired import PairedTest, paired_test
from interp.evaluation.statements import statements
from interp.results.provenance import Provenance
from interp.results.significance import holm


def compare(
    *,
    rows: Sequence[Row],
    columns: Sequence[Column],
    items: Sequence[Item],
    correct: Bool[np.ndarray, "rows items"],
    reference: str,
    seed: int,
    provenance: Provenance,
) -> Comparison:
    """The table of `rows` on `items`, the `reference` row tested against every other one.

    Tests are made in every `mean` column, on its items pooled, and adjusted together. `seed` draws
    the bootstrap.
    """
    check_ids(items)
    bare = Comparison(
        rows=tuple(rows),
        columns=tuple(columns),
        item_ids=tuple(item.id for item in items),
        item_tasks=tuple(item.task for item in items),
        item_languages=tuple(item.language for item in items),
        correct=correct,
        reference=reference,
        tests=(),
        statements=(),
        provenance=provenance,
    )
    tests = _adjusted(_tests(bare, np.random.default_rng(seed)))
    said = statements(
        tests,
        titles={row.key: row.title for row in rows},
        columns={column.key: column.title for column in columns},
    )
    return replace(bare, tests=tests, statements=said)


def _tests(table: Comparison, rng: np.random.Generator) -> list[PairedTest]:
    position = {row.key: index for index, row in enumerate(table.rows)}
    return [
        paired_test(
            table.correct[position[table.reference]][chosen],
            table.correct[position[row.key]][chosen],
            names=(table.reference, row.key),
            column=column.key,
            rng=rng,
        )
        for column in table.columns
        if column.statistic == "mean"
        for chosen in [table.items_in(column)]
        for row in table.rows
        if row.key != table.reference
    ]


def _adjusted(tests: list[PairedTest]) -> tuple[PairedTest, ...]:
    adjusted = holm(np.array([test.p for test in tests], dtype=np.float64))
    return tuple(replace(test, p_holm=float(p)) for test, p in zip(tests, adjusted, strict=True))
