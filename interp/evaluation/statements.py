"""Statements: which differences a table supports and which it does not, in two sentences."""

from collections.abc import Sequence

from interp.evaluation.paired import PairedTest

LEVEL = 0.05


def statements(
    tests: Sequence[PairedTest],
    *,
    titles: dict[str, str],
    columns: dict[str, str],
) -> tuple[str, str]:
    """One sentence of the differences that hold after Holm's adjustment, one of those that do not.

    `titles` and `columns` say rows and columns in words. A difference counts as supported when the
    exact McNemar test, adjusted for all tests given, is below .05.
    """
    supported = [test for test in tests if test.p_holm < LEVEL]
    undecided = [test for test in tests if test.p_holm >= LEVEL]
    rule = f"exact McNemar on the same items, Holm over {len(tests)} tests, p < {LEVEL}"
    return (
        _sentence(f"Supported ({rule})", supported, titles, columns),
        _sentence("Not supported", undecided, titles, columns),
    )


def _sentence(
    start: str, tests: Sequence[PairedTest], titles: dict[str, str], columns: dict[str, str]
) -> str:
    if not tests:
        return f"{start}: no difference."
    parts = [
        f"on {columns[column]}, "
        + ", ".join(_difference(test, titles) for test in tests if test.column == column)
        for column in dict.fromkeys(test.column for test in tests)
    ]
    return f"{start}: {'; '.join(parts)}."


def _difference(test: PairedTest, titles: dict[str, str]) -> str:
    value, low, high = test.difference
    first, second = titles[test.first], titles[test.second]
    interval = f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
    if test.p_holm < LEVEL:
        relation = "above" if value > 0 else "below"
        return f"{first} is {relation} {second} ({interval})"
    return f"{first} against {second} ({interval}, p = {test.p_holm:.2g})"
