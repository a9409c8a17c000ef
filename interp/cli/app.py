"""The program: its nouns, its exit codes, its one line of error."""

import gc
import sys

import typer

from interp.cli import (
    ability,
    capture,
    data,
    demo,
    dictionary,
    explore,
    heads,
    model,
    modules,
    neurons,
    probe,
    store,
    study,
)
from interp.results.errors import InterpError
from interp.results.escape import visible

app = typer.Typer(
    name="interp",
    help="Look inside language models: capture, locate, extract, transfer, explore.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(model.app, name="model")
app.command("capture")(capture.capture)
app.add_typer(store.app, name="store")
app.add_typer(dictionary.app, name="dictionary")
app.add_typer(neurons.app, name="neurons")
app.add_typer(heads.app, name="heads")
app.add_typer(modules.app, name="modules")
app.add_typer(probe.app, name="probe")
app.add_typer(data.app, name="data")
app.add_typer(ability.app, name="ability")
app.add_typer(study.app, name="study")
app.command("explore")(explore.explore)
app.command("demo")(demo.demo)


def main() -> None:
    """Entry point of the console script.

    Exit codes: 0 done, 2 wrong use or input, 3 partial and resumable, 130 interrupted.
    """
    try:
        app()
    except InterpError as error:
        print(f"interp: {visible(str(error), limit=2000)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interp: interrupted; run the same command again", file=sys.stderr)
        sys.exit(130)
    finally:
        # Files are closed by now; a last search for cycles would cost a third of torch's import.
        gc.freeze()


if __name__ == "__main__":
    main()
