"""Batches of rows for training: an exact position, a prefetching thread, a share for each rank."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.dictionaries.training.source import RowSource
from interp.results.errors import BadInput

Item = TypeVar("Item")
_BUFFERS_AHEAD = 1
_BATCHES_AHEAD = 2


class Position(NamedTuple):
    """How far the rows were consumed; the next batch begins at `offset` of that buffer."""

    epoch: int = 0
    buffer: int = 0
    offset: int = 0


class Batch(NamedTuple):
    """One rank's rows of a global batch by site, and where the next global batch begins."""

    rows: dict[str, Float[Tensor, "batch _d"]]
    then: Position


class _Buffer(NamedTuple):
    epoch: int
    number: int
    rows: dict[str, np.ndarray]


class Share(NamedTuple):
    """Which rows of a global batch a rank takes: rank, rank + world, ..."""

    rank: int = 0
    world: int = 1


def training_batches(
    source: RowSource,
    *,
    batch_size: int,
    start: Position | None = None,
    share: Share | None = None,
    device: str = "cpu",
    sites: Sequence[str] | None = None,
) -> Generator[Batch, None, None]:
    """Endless batches from `start` on; threads read, shuffle and move them ahead of their use.

    The global batches depend on the source and `batch_size` alone: not on `start`, and not on how
    many ranks share them. Without `sites` all are read. Raises BadInput if the source has no row.
    """
    begin = start or Position()
    buffers = _prefetched(_buffers(source, begin, sites), ahead=_BUFFERS_AHEAD)
    with closing(buffers):
        batches = _on(_cut(buffers, batch_size, begin.offset), share or Share(), device)
        if torch.device(device).type == "cpu":
            # A batch is a view of its buffer: handing it from thread to thread would cost more.
            yield from batches
            return
        moved = _prefetched(batches, ahead=_BATCHES_AHEAD)
        # The later thread is ended first: it waits for the earlier one.
        with closing(moved):
            yield from moved


def _buffers(source: RowSource, start: Position, sites: Sequence[str] | None) -> Iterator[_Buffer]:
    epoch, number = start.epoch, start.buffer
    while True:
        rows = source.buffer(epoch, number, sites=sites)
        if rows is not None:
            yield _Buffer(epoch, number, rows)
            number += 1
        elif number == 0:
            raise BadInput(f"{source.facts.name} holds no row: capture some tokens first")
        else:
            epoch, number = epoch + 1, 0


def _cut(
    buffers: Iterator[_Buffer], batch_size: int, offset: int
) -> Iterator[tuple[list[dict[str, np.ndarray]], Position]]:
    """Pieces that make up a batch, and the position after it."""
    pieces: list[dict[str, np.ndarray]] = []
    missing = batch_size
    for epoch, number, rows in buffers:
        n_rows = len(next(iter(rows.values())))
        while offset < n_rows:
            stop = min(offset + missing, n_rows)
            pieces.append({site: values[offset:stop] for site, values in rows.items()})
            missing -= stop - offset
            offset = stop
            if not missing:
                yield pieces, Position(epoch, number, offset)
                pieces, missing = [], batch_size
        offset = 0


def _on(
    cut: Iterator[tuple[list[dict[str, np.ndarray]], Position]], share: Share, device: str
) -> Iterator[Batch]:
    pinned = torch.device(device).type == "cuda"
    for pieces, then in cut:
        rows: dict[str, Tensor] = {}
        for site in pieces[0]:
            parts = [piece[site] for piece in pieces]
            whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
            mine = torch.from_numpy(np.ascontiguousarray(whole[share.rank :: share.world]))
            rows[site] = (mine.pin_memory() if pinned else mine).to(device, non_blocking=pinned)
        yield Batch(rows, then)


def _prefetched(items: Iterator[Item], *, ahead: int) -> Generator[Item, None, None]:
    """The items of an iterator, which a thread runs `ahead` of what was taken."""
    ready: SimpleQueue[tuple[Item | None, BaseException | None]] = SimpleQueue()
    room, stopped = Semaphore(ahead), Event()

    def run() -> None:
        try:
            while True:
                room.acquire()
                if stopped.is_set():
                    return
                item = next(items, None)
                ready.put((item, None))
                if item is None:
                    return
        except BaseException as error:  # raised again where the item is taken
            ready.put((None, error))

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is None:
                return
            room.release()
            yield item
    finally:
        stopped.set()
        room.release()
        thread.join()
