"""`interp capture`: record activations of a model over a corpus."""

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from interp.cli.options import Device, Json, Overwrite, print_json
from interp.results.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interp.capture import ActivationStore
    from interp.capture.plan import CapturePlan

Packing = Literal["pack", "document"]
AddBos = Literal["auto", "yes", "no"]
Dtype = Literal["float32", "float16", "bfloat16"]


def capture(
    model: Annotated[
        str, typer.Argument(help="Hub id, directory or bundled name; NAME@STEP for a checkpoint.")
    ],
    corpus: Annotated[
        str,
        typer.Argument(help=".txt, .jsonl, .parquet, .conllu, .npy of ids, folder or hub dataset."),
    ],
    sites: Annotated[
        list[str], typer.Option("--sites", help="Hook name with wildcards; may be repeated.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The store: made, or gone on with.")],
    max_tokens: Annotated[int, typer.Option("--max-tokens", help="Tokens to answer for.")],
    length: Annotated[int, typer.Option("--length", help="Positions of one sequence.")] = 128,
    packing: Annotated[
        Packing, typer.Option("--packing", help="Documents end to end, or one in a row.")
    ] = "pack",
    field: Annotated[str, typer.Option("--field", help="Field that holds the text.")] = "text",
    split: Annotated[str, typer.Option("--split", help="Split of a hub dataset.")] = "train",
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", help="Field to keep: of documents, words or spans. Repeatable."),
    ] = None,
    add_bos: Annotated[
        AddBos, typer.Option("--add-bos", help="BOS before every sequence; auto: as the tokenizer.")
    ] = "auto",
    dtype: Annotated[
        Dtype, typer.Option("--dtype", help="Number format of the store.")
    ] = "float32",
    batch_size: Annotated[int, typer.Option("--batch-size", help="Sequences in a batch.")] = 16,
    memory: Annotated[
        str | None, typer.Option("--memory", help="Bound on this process's memory, like 4GiB.")
    ] = None,
    shard_size: Annotated[
        str, typer.Option("--shard-size", help="About how large one file of the store is.")
    ] = "32MiB",
    drop_special: Annotated[
        bool, typer.Option("--drop-special", help="Leave out BOS, EOS and the like.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Shuffle the documents with this seed.")
    ] = None,
    random_weights: Annotated[
        int | None,
        typer.Option("--random-weights", help="Draw all weights again with this seed: a baseline."),
    ] = None,
    revision: Annotated[str | None, typer.Option("--revision", help="Of a hub model.")] = None,
    model_dtype: Annotated[
        Dtype, typer.Option("--model-dtype", help="Number format the model runs in.")
    ] = "float32",
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let the model's own Python files run.")
    ] = False,
    device: Device = "auto",
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take, and write nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Record activations: a row for every token, at every site asked for.

    The same command goes on with a store that was interrupted or killed. Exit codes: 0 done,
    2 wrong use or another run's store, 3 stopped half way, 130 interrupted; both can be gone on
    with.

    A label is a number or a string of a document, a list with one for every word or token, a list
    of [start, end, value] in characters, or a CoNLL-U annotation (upos, deprel, feats.Number).

    Example: interp capture polyglot text.txt --sites 'blocks.*.hook_resid_post' --max-tokens 50000
    --out store
    """
    from interp.capture.budget import parse_bytes
    from interp.capture.distributed import current_ranks
    from interp.capture.plan import plan_capture
    from interp.capture.run import execute
    from interp.corpus.sources import open_corpus
    from interp.models.load import load, reference_of

    first = current_ranks().rank == 0
    with _weights(model, revision, random_weights) as (files, files_revision):
        bridge = load(
            files,
            revision=files_revision,
            device=device,
            dtype=model_dtype,
            trust_remote_code=trust_remote_code,
        )
        tokens = open_corpus(
            corpus,
            reference_of(bridge),
            length=length,
            packing=packing,
            field=field,
            split=split,
            seed=seed,
            add_bos={"auto": "auto", "yes": True, "no": False}[add_bos],
            labels=labels or (),
        )
        plan = plan_capture(
            bridge,
            tokens,
            sites,
            max_tokens=max_tokens,
            dtype=dtype,
            batch_size=batch_size,
            drop_special=drop_special,
            shard_bytes=parse_bytes(shard_size),
            random_weights=random_weights,
            command=f"interp capture {model} {corpus} "
            + " ".join(f"--sites {site}" for site in sites)
            + ("" if random_weights is None else f" --random-weights {random_weights}"),
        )
    if dry_run:
        _show_plan(plan, json)
        return
    if first:
        print(_forecast(plan), file=sys.stderr)
    store = execute(plan, bridge, tokens, out, memory=memory, overwrite=overwrite)
    if first:
        _show_store(store, plan, json)


@contextmanager
def _weights(
    model: str, revision: str | None, random_weights: int | None
) -> "Iterator[tuple[str, str | None]]":
    """The model asked for; with `random_weights` a copy of it that learnt nothing."""
    if random_weights is None:
        yield model, revision
        return
    from tempfile import TemporaryDirectory

    from interp.models.randomised import randomised_model

    if revision is not None:
        raise BadInput("--random-weights draws from a model's files: name it without --revision")
    with TemporaryDirectory() as directory:
        yield str(randomised_model(model, Path(directory) / "model", random_weights)), None


def _forecast(plan: "CapturePlan") -> str:
    from interp.capture.budget import show_bytes

    header = plan.header
    memory = plan.memory.needed(header.sequences_per_forward, 2)
    return (
        f"{len(header.sites)} sites, {plan.expected_rows:,} rows, "
        f"{show_bytes(plan.expected_bytes)} on disk in shards of {header.sequences_per_shard} "
        f"sequences, about {show_bytes(memory)} of memory beside the model; {header.fidelity_text}"
    )


def _show_plan(plan: "CapturePlan", json: bool) -> None:
    header = plan.header
    content: dict[str, Any] = {
        "sites": {name: list(shape) for name, shape in header.sites.items()},
        "absent_layers": header.to_json()["absent_layers"],
        "rows": plan.expected_rows,
        "bytes": plan.expected_bytes,
        "memory_bytes": plan.memory.needed(header.sequences_per_forward, 2),
        "sequences_per_shard": header.sequences_per_shard,
        "fidelity": header.fidelity,
    }
    if json:
        print_json(content)
        return
    print(_forecast(plan))
    for name, shape in header.sites.items():
        print(f"  {name} {'x'.join(map(str, shape))}")


def _show_store(store: "ActivationStore", plan: "CapturePlan", json: bool) -> None:
    from interp.capture.summary import describe, summary

    if json:
        print_json({**summary(store), "expected_bytes": plan.expected_bytes})
    else:
        print(describe(store))
