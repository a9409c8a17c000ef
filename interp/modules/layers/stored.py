"""CKA between the layers of a store: no model is run again."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.capture.store import ActivationStore
from interp.modules.layers.analysis import Estimator
from interp.modules.layers.cka import LayerCka, MinibatchCka
from interp.modules.layers.reading import PoolingOfStates, pooled
from interp.modules.layers.sharing import each_once
from interp.results.errors import BadInput


def cka_of_store(
    store: ActivationStore | Path | str,
    *,
    sites: str = "blocks.*.hook_resid_post",
    pooling: PoolingOfStates = "weighted",
    estimator: Estimator = "debiased",
    n_sequences: int = 512,
    minibatch: int = 64,
    seed: int = 0,
) -> LayerCka:
    """CKA of all sites that match, by layer, on its first `n_sequences`.

    The states of a sequence's text tokens are pooled, those of one minibatch are held at a time.
    Sequences without text are left out. Raises BadInput for fewer than two sites, and for sites
    that differ in width.
    """
    opened = store if isinstance(store, ActivationStore) else ActivationStore.open(store)
    names = sorted((s for s in opened.sites if fnmatchcase(s, sites)), key=_layer_of)
    shapes = {site: opened.shape(site) for site in names}
    if len(names) < 2 or len(set(shapes.values())) > 1:
        found = ", ".join(f"{site} {shape}" for site, shape in shapes.items()) or "no site"
        raise BadInput(f"{sites} matches {found} in {opened.path}: CKA needs sites of one width")
    spans = list(_spans(opened, n_sequences))
    parts = np.array_split(np.arange(len(spans)), max(1, len(spans) // minibatch))

    def counted(number: int) -> MinibatchCka:
        part = MinibatchCka(biased=estimator == "biased", seed=seed)
        members = [spans[index] for index in parts[number]]
        part.update(
            torch.stack([_states(opened, s, members, pooling) for s in names]), number=number
        )
        return part

    whole = MinibatchCka()
    for part in each_once([partial(counted, number) for number in range(len(parts))]):
        whole.merge(part)
    return whole.finish()


def _layer_of(site: str) -> list[int]:
    return [int(part) for part in site.split(".") if part.isdigit()]


def _spans(store: ActivationStore, n_sequences: int) -> Iterator[tuple[int, int]]:
    """First row and end of every sequence that holds text."""
    sequence = store.column("sequence", 0, store.n_rows)
    starts = np.flatnonzero(np.diff(sequence, prepend=-1))
    stops = np.append(starts[1:], len(sequence))
    text = np.logical_not(store.column("is_special", 0, store.n_rows))
    wanted = [
        (a, b) for a, b in zip(starts.tolist(), stops.tolist(), strict=True) if text[a:b].any()
    ]
    yield from wanted[:n_sequences]


def _states(
    store: ActivationStore, site: str, spans: Sequence[tuple[int, int]], pooling: PoolingOfStates
) -> Float[Tensor, "sequences d"]:
    first, last = spans[0][0], spans[-1][1]
    values = torch.from_numpy(store.rows(site, first, last).astype(np.float32))
    text = torch.from_numpy(np.logical_not(store.column("is_special", first, last)))
    parts = [slice(start - first, stop - first) for start, stop in spans]
    return torch.cat([pooled(values[part][None], text[part][None], pooling) for part in parts])
