"""Dictionaries written in the format of another tool."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sae_lens import SAE

from interp.dictionaries.exchange.formats import formats
from interp.dictionaries.files import CONFIG, MARKER, open_dictionary
from interp.results.atomic import atomic_directory, check_out, write_json
from interp.results.errors import BadInput

EXPORT_SCHEMA = "interp.dictionary-export/1"


def export_dictionaries(
    dictionaries: Sequence[SAE[Any]], out: Path | str, *, format: str, overwrite: bool = False
) -> Path:
    """Write dictionaries as a directory of another tool: one, or a set where the format has sets.

    What the format cannot say is Unsupported, by name; nothing is left out. A TopK dictionary that
    selects by its decoder's norms, and a JumpReLU one that subtracts b_dec, are rewritten into an
    equal one where the format asks for it: the same up to rounding.
    """
    if format not in formats():
        raise BadInput(f"no format {format!r}: known are {', '.join(formats())}")
    with atomic_directory(Path(out), replace=overwrite) as directory:
        formats()[format].write(dictionaries, directory)
        if format != "sae_lens":
            write_json(directory / MARKER, {"schema": EXPORT_SCHEMA, "format": format})
    return Path(out)


def export_named(
    refs: Sequence[str],
    out: Path | str,
    *,
    format: str,
    sae_id: str | None = None,
    overwrite: bool = False,
) -> Path:
    """The same for dictionaries by name; a directory that holds several stands for all of them."""
    check_out(Path(out), replace=overwrite)
    named = [ref for given in refs for ref in _expanded(given)]
    dictionaries = [open_dictionary(ref, sae_id=sae_id) for ref in named]
    return export_dictionaries(dictionaries, out, format=format, overwrite=overwrite)


def _expanded(ref: str) -> list[str]:
    directory = Path(ref).expanduser()
    if (directory / CONFIG).is_file():
        return [ref]
    return [str(file.parent) for file in sorted(directory.glob(f"*/{CONFIG}"))] or [ref]
