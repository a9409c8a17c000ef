"""sae-lens's own directories: `sae_weights.safetensors` and `cfg.json`, of any version it opens."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sae_lens import SAE

from interp.dictionaries.exchange.format import Foreign, Format, one
from interp.dictionaries.files import CONFIG, WEIGHTS, open_dictionary, write_dictionary


def recognises(directory: Path) -> bool:
    """Whether both files are there."""
    return (directory / CONFIG).is_file() and (directory / WEIGHTS).is_file()


def read(directory: Path) -> Iterator[Foreign]:
    """The dictionary, its config in the present version's words."""
    sae = open_dictionary(directory)
    yield Foreign(
        name=directory.name,
        config=sae.cfg.to_dict(),
        state=dict(sae.state_dict()),
        files=(directory / CONFIG, directory / WEIGHTS),
    )


def write(saes: Sequence[SAE[Any]], directory: Path) -> None:
    """The dictionary as it is used."""
    write_dictionary(one(saes, "sae_lens"), directory)


FORMAT = Format(
    name="sae_lens", holds="every architecture", recognises=recognises, read=read, write=write
)
