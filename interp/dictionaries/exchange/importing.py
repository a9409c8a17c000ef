"""Directories of other tools as dictionaries of ours, each with a card that says its origin."""

from dataclasses import replace
from pathlib import Path

from interp.dictionaries.card import DictionaryCard
from interp.dictionaries.exchange.format import Foreign, Format
from interp.dictionaries.exchange.formats import formats
from interp.dictionaries.files import MARKER, write_dictionary
from interp.dictionaries.restoring import restored
from interp.results.atomic import atomic_directory, check_out, write_json
from interp.results.errors import BadInput
from interp.results.hashing import sha256_file
from interp.results.provenance import Provenance

SET_SCHEMA = "interp.dictionaries/1"
AUTO = "auto"


def import_dictionary(
    path: Path | str,
    out: Path | str,
    *,
    format: str = AUTO,
    site: str | None = None,
    site_out: str | None = None,
    model: str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """The dictionaries found at `path`, written to `out`: into it if one, else below it by name.

    `path` is a directory of another tool, or holds several. `site`, `site_out` and `model` go into
    the card, before what the source says. Raises BadInput for what no
    format recognises, CorruptFile and Unsupported as the formats do.
    """
    path, out = Path(path), Path(out)
    check_out(out, replace=overwrite)
    kind, sources = _recognised(path, format)
    several = kind.is_set or len(sources) > 1
    if several and (site or site_out):
        raise BadInput(f"{path} holds several dictionaries: import one at a time to name its site")
    given = {"site": site, "site_out": site_out, "model": model}
    written = []
    with atomic_directory(out, replace=overwrite) as directory:
        for source in sources:
            for foreign in kind.read(source):
                place = directory / foreign.name if several else directory
                place.mkdir(exist_ok=True)
                _write(foreign, place, source=source, kind=kind, given=given)
                written.append(out / place.relative_to(directory))
        if several:
            names = [place.name for place in written]
            write_json(directory / MARKER, {"schema": SET_SCHEMA, "dictionaries": names})
    return written


def _recognised(path: Path, format: str) -> tuple[Format, list[Path]]:
    """The format, and the directories of it: `path` itself, or those directly below it."""
    if not path.is_dir():
        raise BadInput(f"{path} is no directory: give one that another tool wrote")
    if format != AUTO and format not in formats():
        raise BadInput(f"no format {format!r}: known are {AUTO}, {', '.join(formats())}")
    kinds = formats() if format == AUTO else {format: formats()[format]}
    below = sorted(child for child in path.iterdir() if child.is_dir())
    for places in ([path], below):
        found = {n: [p for p in places if kind.recognises(p)] for n, kind in kinds.items()}
        names = [name for name, recognised in found.items() if recognised]
        if len(names) > 1:
            raise BadInput(f"{path} holds dictionaries as {', '.join(names)}: choose by --format")
        if names:
            return kinds[names[0]], found[names[0]]
    raise BadInput(
        f"{path} is of no format among {', '.join(kinds)}, nor is what lies directly below"
    )


def _write(
    foreign: Foreign, place: Path, *, source: Path, kind: Format, given: dict[str, str | None]
) -> None:
    sae = restored(foreign.config, foreign.state, source=str(source))
    card = DictionaryCard.of(sae)
    provenance = card.provenance or Provenance.collect(
        f"interp dictionary import {source.name} --format {kind.name}",
        model_hash=None,
        corpus_hash=None,
        seed=None,
        settings={
            "format": kind.name,
            "files": {file.name: sha256_file(file) for file in foreign.files},
        },
    )
    named = {name: value for name, value in given.items() if value is not None}
    named |= {"model_hash": None} if "model" in named else {}
    replace(card, **named, provenance=provenance).write_to(sae)
    write_dictionary(sae, place)
