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
    lines = [
        (d.name, d.inputs, ", ".join(sorted(d.needs)), d.unit, d.chance, d.definition, d.source)
        for d in found
    ]
    heading = ("detector", "fed with", "reads", "unit", "by chance", "what it is", "source")
    show_table(heading, lines, n_left=7)
    named = [d.name for d in found if d.only_named]
    if named:
        say(f"\nrun only when named: {', '.join(named)}")
