"""Us against a peer or a limit, one script each: `python -m benchmarks.NAME [--json]`."""
