"""Record activations of a model over a corpus into a store, or go on with one."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from transformer_lens.model_bridge import TransformerBridge

from interp.capture.budget import parse_bytes, release_free_memory, resident_bytes
from interp.capture.directory import locked, prepare
from interp.capture.distributed import current_ranks
from interp.capture.forward import SiteReader
from interp.capture.header import StoreHeader
from interp.capture.interruption import Interrupted
from interp.capture.manifest import Ending, Manifest, read_manifest, write_manifest
from interp.capture.plan import SHARD_BYTES, CapturePlan, plan_capture
from interp.capture.precision import StoredDtype
from interp.capture.reading import Position, record_missing
from interp.capture.store import ActivationStore
from interp.capture.writer import StoreWriter
from interp.corpus.corpus import Corpus
from interp.results.errors import Incomplete, Mismatch


def record(
    model: TransformerBridge,
    corpus: Corpus,
    sites: Sequence[str],
    store: Path | str,
    *,
    max_tokens: int,
    dtype: StoredDtype = "float32",
    batch_size: int = 16,
    memory: int | str | None = None,
    drop_special: bool = False,
    overwrite: bool = False,
    shard_bytes: int = SHARD_BYTES,
    command: str | None = None,
) -> ActivationStore:
    """The store with a row for each of the first `max_tokens` tokens of `corpus`.

    `sites` are hook names with wildcards. A store that an earlier call left unfinished is gone on
    with if everything matches; its bytes end as those of an uninterrupted run. Padding is never
    stored; `drop_special` leaves out BOS, EOS and the like too. asked = stored + masked + missing:
    a corpus that ends early leaves rows missing, and the manifest says so. A stream without a
    commit may change unseen, so its stores are never gone on with. `memory` ("4GiB") bounds
    the process's anonymous memory. Under `torchrun` the ranks share the shards among them.

    Raises Mismatch if `store` is another run's, BadInput if it is no store or a value does not fit
    `dtype`, Incomplete if the run stopped half way: what is committed stays, the same call goes on.
    """
    plan = plan_capture(
        model,
        corpus,
        sites,
        max_tokens=max_tokens,
        dtype=dtype,
        batch_size=batch_size,
        drop_special=drop_special,
        shard_bytes=shard_bytes,
        command=command,
    )
    return execute(plan, model, corpus, store, memory=memory, overwrite=overwrite)


def execute(
    plan: CapturePlan,
    model: TransformerBridge,
    corpus: Corpus,
    store: Path | str,
    *,
    memory: int | str | None = None,
    overwrite: bool = False,
) -> ActivationStore:
    """Carry out a plan: the second half of `record`."""
    directory = Path(store)
    budget = parse_bytes(memory) if isinstance(memory, str) else memory
    release_free_memory()
    depth = plan.memory.queue_depth(plan.header.sequences_per_forward, budget, resident_bytes())
    ranks = current_ranks()
    with ExitStack() as stack:
        if ranks.rank == 0:
            ranks.first_only(lambda: stack.enter_context(locked(directory)))
        else:
            ranks.first_only(lambda: None)
        ranks.first_only(lambda: _prepare(directory, plan, corpus, overwrite))
        manifest = read_manifest(directory)
        if manifest.ending is None:
            reader = SiteReader(model, list(plan.header.sites))
            writer = StoreWriter(directory, plan.header, queue_depth=depth)
            try:
                end = record_missing(
                    plan.header,
                    manifest,
                    reader=reader,
                    corpus=corpus,
                    writer=writer,
                    ranks=ranks,
                    budget=budget,
                )
                writer.close()
            except Interrupted:
                writer.close()
                raise Interrupted(_how_to_go_on(directory, plan.header, corpus)) from None
            except BaseException:
                writer.abandon()
                raise
            ranks.share("recorded")
            ranks.first_only(lambda: _finish(directory, plan.header, end))
        return ActivationStore.open(directory)


def _prepare(directory: Path, plan: CapturePlan, corpus: Corpus, overwrite: bool) -> Manifest:
    if not corpus.hash_is_whole and not overwrite and read_manifest(directory).shards:
        raise Mismatch(
            f"{directory} cannot be gone on with: {corpus.name} is a stream that may have changed "
            "since. Capture a file or a finite datasets.Dataset, or start again with --overwrite"
        )
    return prepare(
        directory,
        plan.header,
        vocabulary=plan.vocabulary,
        overwrite=overwrite,
        expected_bytes=plan.expected_bytes,
    )


def _how_to_go_on(directory: Path, header: StoreHeader, corpus: Corpus) -> str:
    tokens = sum(entry.tokens for entry in read_manifest(directory).shards)
    then = "run the same command to go on"
    if not corpus.hash_is_whole:
        then = f"{corpus.name} is a stream, which cannot be gone on with"
    return (
        f"interrupted: {tokens:,} of {header.asked:,} tokens are in {directory}, whole and safe; "
        f"{then}"
    )


def _finish(directory: Path, header: StoreHeader, end: Position) -> None:
    """Put the manifest in order and close it with the sum: asked = stored + masked + missing."""
    shards = read_manifest(directory).shards
    tokens = sum(entry.tokens for entry in shards)
    if tokens != end.tokens:
        raise Incomplete(
            f"{directory} holds {tokens:,} of the {end.tokens:,} tokens that were read: a rank did "
            "not commit its shards; run the same command to go on"
        )
    missing = header.asked - tokens
    ending = Ending(
        asked=header.asked,
        stored=sum(entry.rows for entry in shards),
        masked=sum(entry.masked for entry in shards),
        missing=missing,
        padding=sum(entry.padding for entry in shards),
        sequences=end.sequences,
        reason=f"the corpus ended after {tokens:,} tokens" if missing else "",
    )
    write_manifest(directory, shards, ending)
