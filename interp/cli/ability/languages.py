"""`interp ability languages`: which neurons serve which language."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interp.cli.ability.options import Base
from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json, say
from interp.results.atomic import atomic_directory, check_out
from interp.results.errors import BadInput

if TYPE_CHECKING:
    from interp.abilities.locating.language_finding import LanguageFinding


def languages(
    base: Base,
    out: Out,
    text: Annotated[
        list[str],
        typer.Option("--text", help="LANGUAGE=FILE, twice or more: txt (a line each) or jsonl."),
    ],
    share: Annotated[
        float, typer.Option("--share", help="Share of all neurons: those of lowest entropy.")
    ] = 0.01,
    percentile: Annotated[
        float, typer.Option("--percentile", help="Of all rates, that a neuron's must exceed.")
    ] = 0.95,
    length: Annotated[int, typer.Option("--length", help="Tokens at most in a row.")] = 512,
    draws: Annotated[
        int, typer.Option("--draws", help="Permutations of the documents' languages.")
    ] = 200,
    random_draws: Annotated[
        int, typer.Option("--random-draws", help="Random sets of neurons put to zero.")
    ] = 5,
    seed: Seed = 0,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Find the neurons that are on for few languages, and what each language loses without them.

    Writes the finding, and a mask of each language's neurons in OUT/masks/LANGUAGE.

    Example: interp ability languages polyglot --text A=a.txt --text B=b.txt --out languages
    """
    from interp.abilities.locating.languages import find_languages

    texts = language_files(text)
    check_out(out, replace=overwrite)
    found = find_languages(
        base,
        texts,
        share=share,
        percentile=percentile,
        length=length,
        draws=draws,
        random_draws=random_draws,
        seed=seed,
        device=device,
    )
    with atomic_directory(out, replace=overwrite) as directory:
        found.finding.save(directory, overwrite=True)
        for name, mask in found.masks.items():
            mask.save(directory / "masks" / name)
    if json:
        print_json({"path": str(out), **found.finding.to_json()})
    else:
        say(f"{out}: {_text(found.finding)}")


def language_files(given: list[str]) -> dict[str, Path]:
    """Files by language, from LANGUAGE=FILE; a language's name becomes a directory's."""
    files: dict[str, Path] = {}
    for entry in given:
        name, _, path = entry.partition("=")
        if not path or not name.replace("-", "").replace("_", "").isalnum():
            raise BadInput(
                f"--text {entry}: expected LANGUAGE=FILE, the language in letters, digits, - and _"
            )
        if name in files:
            raise BadInput(f"--text {entry}: {name} has a text already, one file a language")
        files[name] = Path(path)
    return files


def _text(finding: "LanguageFinding") -> str:
    """Counts by language and layer, the null, and the matrix of losses."""
    n = finding.entropy.size
    threshold = "none" if finding.threshold is None else f"{finding.threshold:.3f} nats"
    lines = [
        f"{int(finding.chosen.sum()):,} of {n:,} neurons, entropy at most {threshold}, on for "
        f"more than {finding.bar:.3f} of a language's tokens",
        f"  with documents' languages permuted {finding.null_found.mean():.1f} "
        f"(0 to {finding.null_found.max()} in {len(finding.null_found)} draws, "
        f"p {finding.p_value:.2g})",
        "  neurons by layer:",
    ]
    for name, own in zip(finding.languages, finding.member, strict=True):
        lines.append(f"    {name}: {int(own.sum()):,}  ({', '.join(map(str, own.sum(axis=1)))})")
    lines.append(
        "  bits a character more without the row's neurons (without random ones), read in:"
    )
    lines.append("    " + " " * 8 + "".join(f"{name:>18}" for name in finding.languages))
    random = finding.random.mean(axis=0) - finding.whole
    for row, name in enumerate(finding.languages):
        cells = [
            f"{more:+.3f} ({chance:+.3f})"
            for more, chance in zip(finding.ablated[row] - finding.whole, random[row], strict=True)
        ]
        lines.append(f"    {name:8}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)
