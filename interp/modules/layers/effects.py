"""What is lost without a layer, with another in its place, and with a few layers for all."""

from collections.abc import Callable, Sequence
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
    loss, interval, cka = np.full(n, np.nan), np.full((n, 2), np.nan), np.full(n, np.nan)
    swapped_loss, swapped_cka = np.full((n, n), np.nan), np.full((n, n), np.nan)
    for layer in order:
        read = asked.run(order[:layer] + order[layer + 1 :])
        loss[layer], *interval[layer] = asked.increase(read)
        cka[layer] = asked.final_cka(read)
        advance()
        for other in order if swaps else ():
            read = asked.run([*order[:layer], other, *order[layer + 1 :]])
            swapped_loss[layer, other] = asked.increase(read).value
            swapped_cka[layer, other] = asked.final_cka(read)
            advance()
    return Removal(
        loss_increase=loss,
        interval=interval,
        final_cka=cka,
        replaced_loss_increase=swapped_loss,
        replaced_final_cka=swapped_cka,
    )


def shorten(
    asked: Evaluation, kept: Int[np.ndarray, " kept"], *, draws: int, advance: Advance
) -> Shortened:
    """The model of the kept layers, beside evenly spaced and random ones."""
    n = n_blocks(asked.bridge)
    rng = np.random.default_rng([asked.seed, 1])

    def lost(sources: Sequence[int]) -> Float[np.ndarray, " 3"]:
        advance()
        return np.array(asked.increase(asked.run(sources)))

    random = [np.sort(rng.choice(n, len(kept), replace=False)) for _ in range(draws)]
    sources = shared(kept, n)
    return Shortened(
        kept=np.asarray(kept, np.int64),
        sources=np.array(sources, np.int64),
        whole_loss=asked.whole.mean_loss(),
        shared=lost(sources),
        removed=lost([int(layer) for layer in kept]),
        uniform=lost(shared(evenly_spaced(len(kept), n), n)),
        random=np.array([lost(shared(some, n))[0] for some in random]),
    )
