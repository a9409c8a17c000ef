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
    exact McNemar test, adjusted for all tests given, is below .05. All tests given have the same
    first row.
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
        return f"{start}: none of the differences tested."
    parts = [
        f"on {columns[column]}, {_differences(same, titles)}"
        for column in dict.fromkeys(test.column for test in tests)
        for same in [[test for test in tests if test.column == column]]
    ]
    return f"{start}: {'; '.join(parts)}."


def _differences(tests: Sequence[PairedTest], titles: dict[str, str]) -> str:
    """Differences of one row from others in one column: first those above, then those below."""
    above = [_difference(test, titles) for test in tests if test.difference.value > 0]
    below = [_difference(test, titles) for test in tests if test.difference.value <= 0]
    relations = [("above", above), ("below", below)]
    said = " and ".join(f"{word} {', '.join(found)}" for word, found in relations if found)
    return f"{titles[tests[0].first]} is {said}"


def _difference(test: PairedTest, titles: dict[str, str]) -> str:
    value, low, high = test.difference
    p = "" if test.p_holm < LEVEL else f", p = {test.p_holm:.2g}"
    return f"{titles[test.second]} ({value:+.3f} [{low:+.3f}, {high:+.3f}]{p})"
