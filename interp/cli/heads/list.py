"""`interp heads list`: every detector, what it measures, on what, and against what."""

from interp.cli.options import Json, print_json, say
from interp.cli.tables import show_table


def list(json: Json = False) -> None:  # noqa: A001
    """List the detectors: what each measures and what chance gives.

    Example: interp heads list
    """
    from interp.heads.registry import registry

    found = [*registry().values()]
    if json:
        fields = ("name", "version", "definition", "source", "unit", "inputs", "low", "high")
        more = ("chance", "null", "only_named")
        print_json(
            [
                {**{f: getattr(d, f) for f in (*fields, *more)}, "needs": sorted(d.needs)}
                for d in found
            ]
        )
        return
    lines = [(d.name, d.inputs, ", ".join(sorted(d.needs)), d.unit, d.chance) for d in found]
    show_table(("detector", "fed with", "reads", "unit", "by chance"), lines, n_left=5)
    for d in found:
        named = " Runs only when named." if d.only_named else ""
        say(f"\n{d.name}: {d.definition}.{named}\n  null: {d.null}\n  source: {d.source}")
