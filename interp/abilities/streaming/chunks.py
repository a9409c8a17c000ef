"""Chunks: the unit of work on weights at rest, and the threads that work on them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

CHUNK = 1 << 18
"""Entries of a chunk: its float32 copies stay in a core's cache."""
THREADS = 3
"""One more than the cores of a small machine, so that one can wait for the disk."""

Result = TypeVar("Result")


class Chunk(NamedTuple):
    """Entries [start, stop) of one tensor, in flat order."""

    name: str
    start: int
    stop: int


def chunk_grid(sizes: Iterable[tuple[str, int]], *, chunk: int = CHUNK) -> Iterator[Chunk]:
    """Every chunk of every (name, entries), in order; a tensor without entries has none."""
    for name, n_entries in sizes:
        for start in range(0, n_entries, chunk):
            yield Chunk(name, start, min(start + chunk, n_entries))


def in_order(
    work: Callable[[Chunk], Result], chunks: Iterable[Chunk], *, threads: int = THREADS
) -> Iterator[Result]:
    """`work` of every chunk, computed on `threads` threads, given back in the chunks' order.

    At most twice as many results as threads wait to be taken. The first error stops the rest.
    """
    waiting: deque[Future[Result]] = deque()
    with single_threaded_torch(), ThreadPoolExecutor(threads, initializer=_one_thread) as pool:
        try:
            for chunk in chunks:
                waiting.append(pool.submit(work, chunk))
                if len(waiting) >= 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def single_threaded_torch() -> Iterator[None]:
    """Torch computes on the calling thread alone: the chunks are what runs in parallel."""
    import torch  # plans count chunks without it

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
