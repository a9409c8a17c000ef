"""What a store holds, as a JSON object and as a page of text."""

from typing import Any

from interp.capture.store import ActivationStore
from interp.results.escape import visible


def summary(store: ActivationStore) -> dict[str, Any]:
    """Everything that `interp store info` knows; reads no shard."""
    header, manifest = store.header, store.manifest
    ending = manifest.ending
    return {
        "store": str(store.path),
        "complete": store.is_complete,
        "rows": store.n_rows,
        "asked": header.asked,
        "masked": sum(shard.masked for shard in manifest.shards),
        "missing": ending.missing if ending else None,
        "reason": ending.reason if ending else "unfinished: the command that began it goes on",
        "padding": sum(shard.padding for shard in manifest.shards),
        "sequences": sum(stop - start for start, stop in (s.sequences for s in manifest.shards)),
        "shards": len(manifest.shards),
        "bytes": sum(file.stat().st_size for file in store.path.iterdir() if file.is_file()),
        "dtype": header.dtype,
        "sites": {name: list(shape) for name, shape in header.sites.items()},
        "absent_layers": header.to_json()["absent_layers"],
        "columns": list(header.columns),
        "rounding": {
            site: {**loss._asdict(), "mean_error": loss.sum_error / max(loss.n, 1)}
            for site, loss in manifest.rounding().items()
        },
        "fidelity": header.fidelity,
        "provenance": header.provenance.to_json(),
    }


def describe(store: ActivationStore) -> str:
    """The same for a person, every string made safe for a terminal."""
    facts = summary(store)
    asked = f"{facts['asked']:,} asked = {facts['rows']:,} stored + {facts['masked']:,} left out"
    missing = facts["asked"] - facts["rows"] - facts["masked"]
    lines = [
        f"{store.path}: {facts['rows']:,} rows in {facts['shards']} shards, "
        f"{facts['bytes']:,} bytes, {facts['dtype']}",
        f"tokens: {asked} + {missing:,} missing"
        + (f" ({facts['reason']})" if facts["reason"] else ""),
        f"model {facts['provenance']['model_hash'][:16]}, "
        f"corpus {facts['provenance']['corpus_hash'][:16]}; {store.header.fidelity_text}",
        *(f"  {name} {'x'.join(map(str, shape))}" for name, shape in facts["sites"].items()),
    ]
    for site, loss in facts["rounding"].items():
        lines.append(
            f"  {site}: rounding to {facts['dtype']} moved an entry by {loss['mean_error']:.3g} in "
            f"the mean, {loss['max_error']:.3g} at most; {loss['underflow']:,} became zero"
        )
    return "\n".join(visible(line, limit=2000) for line in lines)
