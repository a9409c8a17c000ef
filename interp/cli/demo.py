"""`interp demo`: the main job on the bundled model, from capture to a checked transfer."""

from pathlib import Path
from typing import Annotated

import typer

from interp.cli.options import Json, Overwrite, Seed, print_json

DemoOut = Annotated[
    Path | None, typer.Option("--out", help="The study's directory. Default: in the user's cache.")
]


def demo(
    out: DemoOut = None, overwrite: Overwrite = False, seed: Seed = 0, json: Json = False
) -> None:
    """Run the main job on polyglot: capture, locate, train, extract, transfer, verify.

    Everything is computed, nothing is read from a file: a short training locates the entries of
    an ability learnt in one language, two trainings at these entries make its weights, addition
    puts them into a model of two other languages, and a test split that was not looked at says
    what was gained. Takes a minute or two on two cores; fills a study for `interp explore`.

    Example: interp demo --out demo-study
    """
    import sys
    import time

    from interp.results.study import default_study

    start = time.monotonic()
    out = default_study() if out is None else out
    from interp.cli.demo_job import run_demo

    table = run_demo(out, seed=seed, overwrite=overwrite)
    seconds = time.monotonic() - start
    print(table.text_table(), file=sys.stderr if json else sys.stdout)
    print(f"\n{seconds:.0f} s. The study is in {out}: interp explore {out}", file=sys.stderr)
    if json:
        content = table.to_json()
        print_json(
            {
                "seconds": round(seconds, 1),
                "target_accuracy": content["target"],
                "general_accuracy": content["general"],
                "share_changed": content["share_changed"],
                "statements": content["statements"],
                "study": str(out),
            }
        )
