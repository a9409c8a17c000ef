"""`interp data`: what the probes can ask a model, listed and written as jsonl."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp.cli.options import Json, Overwrite, Seed, print_json
from interp.cli.tables import show_table
from interp.results.errors import BadInput

if TYPE_CHECKING:
    from probes.labelled.dataset import DataSet, Written

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
SCHEMA = "interp.data/1"


@app.callback()
def data() -> None:
    """Texts with a label that neurons, features and probes can be asked for."""


@app.command("list")
def list_(json: Json = False) -> None:
    """Name every data set, its kind, its functions, and how many lines it makes.

    Example: interp data list
    """
    from probes.labelled.catalogue import catalogue

    found = list(catalogue().values())
    if json:
        print_json({"data": [_entry(one) for one in found]})
        return
    rows = [_row(one) for one in found]
    show_table(["name", "kind", "lines", "functions", "label"], rows, n_left=5)
    for one in found:
        if one.file is not None:
            print(f"{one.name} --from: {one.file}")
    print("\ninterp data make NAME --out FILE.jsonl")


@app.command()
def make(
    name: Annotated[str, typer.Argument(help="A name that `interp data list` shows.")],
    out: Annotated[
        Path, typer.Option("--out", help="The file that is written, .jsonl unless told.")
    ],
    n: Annotated[
        int | None, typer.Option("--n", help="How many; of what, `interp data list --json` says.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="CoNLL-U file, relations as JSON: what the data set reads."),
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a data set as jsonl, and beside it a .json that says what is in it and what leaks.

    relations-treebank is written as .conllu and relations-labels as .json, its card as .card.json.
    The same seed writes the same bytes. No lexical item is on both sides of the split that each
    line names. Leak: a bag-of-words logistic regression on the test side, where the items are new,
    and on lines left out at random, where the words are known; a score that only equals the latter
    may come from single words.

    Example: interp data make semantic --out semantic.jsonl
    """
    from probes.labelled.catalogue import catalogue

    known = catalogue()
    if name not in known:
        raise BadInput(f"no data set {name!r}: there are {', '.join(known)}")
    dataset = known[name]
    card = _check_out(out, dataset.suffix, overwrite)
    written = dataset.write(out, seed, _n_of(dataset, n), source)
    content = _card(dataset, written, out, source, seed, n)
    _write_card(card, content)
    if json:
        print_json({"path": str(out), "card": str(card), **content})
        return
    _show_written(written)
    print(f"\n{written.n_lines:,} lines written to {out}, what is in them to {card}")


def _n_of(dataset: "DataSet", n: int | None) -> int:
    if n is None:
        return dataset.n or 0
    if dataset.n is None:
        raise BadInput(f"{dataset.name} is always whole: leave --n out")
    if n < 3:
        raise BadInput(f"--n {n}: at least 3, to have some on either side of the split")
    return n


def _check_out(out: Path, suffix: str, overwrite: bool) -> Path:
    if out.suffix != suffix:
        raise BadInput(f"--out {out}: the file must end in {suffix}, which is how it is read")
    card = out.with_suffix(".card.json" if suffix == ".json" else ".json")
    for path in (out, card):
        if path.exists() and (not overwrite or not path.is_file()):
            raise BadInput(f"{path} exists: choose another --out, or pass --overwrite")
    return card


def _card(
    dataset: "DataSet", written: "Written", out: Path, source: Path | None, seed: int, n: int | None
) -> dict[str, Any]:
    from interp.results.hashing import sha256_file
    from interp.results.provenance import Provenance

    read = {} if source is None or not source.is_file() else {"from_sha256": sha256_file(source)}
    words = f"interp data make {dataset.name} --out {out} --seed {seed}"
    made = Provenance.collect(
        words if source is None else f"{words} --from {source}",
        model_hash=None,
        corpus_hash=None,
        seed=seed,
        settings={"name": dataset.name, "n": dataset.n if n is None else n, **read},
    )
    return {
        "schema": SCHEMA,
        "name": dataset.name,
        "kind": dataset.kind,
        "question": dataset.question,
        "source": dataset.source,
        "lines": written.n_lines,
        "counts": written.counts,
        "leaks": [leak.to_json() for leak in written.leaks],
        "sha256": sha256_file(out),
        "provenance": made.to_json(),
    }


def _write_card(path: Path, content: dict[str, Any]) -> None:
    from json import dumps

    from interp.results.atomic import atomic_file

    with atomic_file(path) as temporary:
        text = dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def _entry(dataset: "DataSet") -> dict[str, Any]:
    plain = ("name", "kind", "functions", "question", "source", "n", "unit")
    return {
        **{key: getattr(dataset, key) for key in plain},
        "from": dataset.file,
        "lines": dataset.n_lines(),
    }


def _row(dataset: "DataSet") -> list[str]:
    lines = dataset.n_lines()
    shown = ", ".join(dataset.functions[:5])
    more = len(dataset.functions) - 5
    return [
        dataset.name,
        dataset.kind,
        "of the file" if lines is None else f"{lines:,}",
        f"{shown} and {more} more" if more > 0 else shown,
        dataset.question,
    ]


def _show_written(written: "Written") -> None:
    if not written.leaks:
        return
    heading = ["sub-function", "train", "test", "leak, new items", "majority", "AP", "constant"]
    heading += ["leak, known words", "best word"]
    rows = [
        [
            leak.subfunction,
            f"{leak.n_train:,}",
            f"{leak.n_test:,}",
            str(leak.accuracy),
            f"{leak.majority:.3f}",
            str(leak.average_precision),
            f"{leak.prevalence:.3f}",
            str(leak.seen_words_accuracy),
            f"{leak.best_word} {leak.best_word_accuracy:.3f}" if leak.best_word else "",
        ]
        for leak in written.leaks
    ]
    show_table(heading, rows)
    print("\nLeaks are accuracies of a bag of words; intervals: 95% bootstrap over items.")
    if any(leak.seen_words_accuracy.high < leak.majority for leak in written.leaks):
        print(
            "Below the majority, the words say nothing: every word is under both labels equally "
            "often, and where one of a pair is left out, the other misleads."
        )
