"""What is lost without a layer, with another in its place, and with a few layers for all."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.corpus import TokenBatch
from interp.modules.layers.analysis import Estimator, Removal, Shortened
from interp.modules.layers.blocks import n_blocks, resid_post, running_blocks
from interp.modules.layers.cka import FEWEST, MinibatchCka
from interp.modules.layers.clusters import evenly_spaced, shared
from interp.modules.layers.reading import PoolingOfStates, Read, read_batches
from interp.modules.layers.sharing import each_once
from interp.results.bootstrap import ratio_bootstrap
from interp.results.errors import BadInput
from interp.results.intervals import Interval

Advance = Callable[..., None]
_DRAWS = 2000


class Evaluation(NamedTuple):
    """A model, a text, and what the whole model makes of it."""

    bridge: TransformerBridge
    batches: Sequence[TokenBatch]
    whole: Read
    """States of the last block, and losses."""
    pooling: PoolingOfStates
    estimator: Estimator
    seed: int

    def run(self, sources: Sequence[int]) -> Read:
        """The same with other blocks."""
        site = resid_post(self.bridge, sources[-1])
        with running_blocks(self.bridge, sources) as short:
            return read_batches(short, self.batches, sites=[site], pooling=self.pooling)

    def increase(self, read: Read) -> Interval:
        """Nats a token more than the whole model, over the same sequences."""
        return ratio_bootstrap(
            read.loss - self.whole.loss,
            self.whole.n_tokens,
            rng=np.random.default_rng(self.seed),
            draws=_DRAWS,
        )

    def final_cka(self, read: Read) -> float:
        """CKA of the last states with the whole model's."""
        counted = MinibatchCka(biased=self.estimator == "biased", seed=self.seed)
        counted.update(torch.cat([self.whole.states, read.states]), number=0)
        return float(counted.finish().cka[0, 1])


def evaluation_of(
    bridge: TransformerBridge,
    batches: Sequence[TokenBatch],
    *,
    pooling: PoolingOfStates,
    estimator: Estimator,
    seed: int,
) -> Evaluation:
    """Runs the whole model once. BadInput for fewer sequences than CKA needs."""
    last = resid_post(bridge, n_blocks(bridge) - 1)
    whole = read_batches(bridge, batches, sites=[last], pooling=pooling)
    if len(whole.loss) < FEWEST:
        raise BadInput(f"{len(whole.loss)} sequences to evaluate: give at least {FEWEST}")
    return Evaluation(bridge, batches, whole, pooling, estimator, seed)


def remove_each(asked: Evaluation, *, swaps: bool, advance: Advance) -> Removal:
    """Every layer skipped; with `swaps` also every other layer in its place."""
    n = n_blocks(asked.bridge)
    order = list(range(n))
    without = [order[:layer] + order[layer + 1 :] for layer in order]
    replaced = [
        [*order[:layer], other, *order[layer + 1 :]]
        for layer in order
        for other in (order if swaps else ())
    ]
    found = _measured(asked, [*without, *replaced], advance)
    swapped = found[n:] if swaps else np.full((n * n, 4), np.nan)
    return Removal(
        loss_increase=found[:n, 0],
        interval=found[:n, 1:3],
        final_cka=found[:n, 3],
        replaced_loss_increase=swapped[:, 0].reshape(n, n),
        replaced_final_cka=swapped[:, 3].reshape(n, n),
    )


def shorten(
    asked: Evaluation, kept: Int[np.ndarray, " kept"], *, draws: int, advance: Advance
) -> Shortened:
    """The model of the kept layers, beside evenly spaced and random ones."""
    n = n_blocks(asked.bridge)
    rng = np.random.default_rng([asked.seed, 1])
    random = [np.sort(rng.choice(n, len(kept), replace=False)) for _ in range(draws)]
    sources = shared(kept, n)
    once = [int(layer) for layer in kept]
    models = [sources, once, shared(evenly_spaced(len(kept), n), n)]
    models += [shared(some, n) for some in random]
    found = _measured(asked, models, advance)
    return Shortened(
        kept=np.asarray(kept, np.int64),
        sources=np.array(sources, np.int64),
        whole_loss=asked.whole.mean_loss(),
        shared=found[0, :3],
        removed=found[1, :3],
        uniform=found[2, :3],
        random=found[3:, 0],
    )


def _measured(
    asked: Evaluation, models: Sequence[Sequence[int]], advance: Advance
) -> Float[np.ndarray, "models 4"]:
    """Loss increase, the ends of its interval, and CKA of the last states, of every model."""

    def measure(sources: Sequence[int]) -> tuple[float, ...]:
        read = asked.run(sources)
        return (*asked.increase(read), asked.final_cka(read))

    return np.array(each_once([partial(measure, model) for model in models], advance))
