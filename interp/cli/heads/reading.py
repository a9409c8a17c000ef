"""Options of every verb that reads relations, and the command with its settings."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from shlex import join
from typing import Annotated, Any, get_args

import typer

from interp.cli.options import at_least, between
from interp.results.errors import BadInput

Length = Annotated[
    int | None,
    typer.Option(
        "--length",
        help="Tokens of a sequence, at most; the whole text if not given.",
        callback=at_least(1),
    ),
]
MinCoverage = Annotated[
    float,
    typer.Option(
        "--min-coverage",
        help="Least share of a relation's triplets on tokens.",
        callback=between(0.0, 1.0),
    ),
]


def refuse_twice(option: str, names: Sequence[str] | None) -> None:
    """BadInput where an option names one thing twice."""
    for name in names or ():
        if list(names or ()).count(name) > 1:
            raise BadInput(f"{option} {name} is given twice: name each once")


def typed(verb: Callable[..., None], values: Mapping[str, Any]) -> str:
    """The command with the value of each of its options, as a shell would take it.

    `values` by parameter of `verb`. Left out is what changes no number of the result.
    """
    words = ["interp", "heads", verb.__name__]
    for name, parameter in signature(verb).parameters.items():
        value = values[name]
        given = value is not None and value is not False and value not in ((), [])
        if given and name not in _SHOWN:
            told = get_args(parameter.annotation)[1]
            # Typer keeps the first name of an annotated option where an older style has a default.
            named = [told.default, *(told.param_decls or ())]
            words += _words([n for n in named if str(n).startswith("--")], value)
    return join(words)


_SHOWN = ("overwrite", "json", "figures")


def _words(names: Sequence[str], value: Any) -> list[str]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not names:
        return [str(one) for one in values]
    return [names[0]] if value is True else [w for one in values for w in (names[0], str(one))]
