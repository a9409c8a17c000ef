"""All accumulators of one pass together: updated by batch, merged by part, finished once."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from interp.dictionaries.views.activity import ActivityCounts, histogram_quantiles
from interp.dictionaries.views.coactivation import MAX_ENTRIES, FiringSample
from interp.dictionaries.views.contexts import BestContexts
from interp.dictionaries.views.firings import Firings
from interp.dictionaries.views.label_columns import LabelColumn
from interp.dictionaries.views.labels import LabelCounts
from interp.dictionaries.views.neurons import NeuronSums, NullBank
from interp.dictionaries.views.parts import BANDS, Activity, Coactivation, Contexts, Labels, Neurons
from interp.dictionaries.views.tokens import TokenCounts


@dataclass(frozen=True, kw_only=True)
class PassSettings:
    """What decides the result of a pass."""

    d_sae: int
    n_strongest: int = 10
    n_sampled: int = 16
    width: int = 8
    """Tokens shown on either side."""
    n_partners: int = 8
    seed: int = 0
    max_entries: int = MAX_ENTRIES
    labels: tuple[LabelColumn, ...] = ()
    bank: NullBank | None = field(default=None, repr=False)
    """Of the second site; None without one."""


@dataclass(frozen=True, kw_only=True)
class PassResult:
    """What one pass found."""

    activity: Activity
    strongest: Contexts
    sampled: Contexts
    coactivation: Coactivation
    neurons: Neurons | None
    labels: tuple[Labels, ...]
    token_count: np.ndarray


class Accumulators:
    """The state of one pass over some rows, a few hundred bytes a feature whatever the rows."""

    def __init__(self, settings: PassSettings) -> None:
        d_sae, width, s = settings.d_sae, settings.width, settings
        self._settings = settings
        self.activity = ActivityCounts(d_sae)
        self.strongest = BestContexts.strongest(d_sae, keep=s.n_strongest, width=width)
        self.sampled = BestContexts.sampled(d_sae, keep=s.n_sampled, width=width, seed=s.seed)
        self.sample = FiringSample(d_sae, max_entries=settings.max_entries)
        self.labels = tuple(LabelCounts(d_sae, column) for column in settings.labels)
        self.neurons = None if settings.bank is None else NeuronSums(d_sae, settings.bank)
        self.tokens = TokenCounts()

    def update(
        self, batch: Firings, neurons: Float[np.ndarray, "rows n_neurons"] | None = None
    ) -> None:
        """Take in a batch; `neurons` are those of the rows that it counts."""
        core = batch.core()
        self.activity.update(core)
        self.strongest.update(batch)
        self.sampled.update(batch)
        self.sample.update(core)
        self.tokens.update(core)
        for label in self.labels:
            label.update(core)
        if self.neurons is not None:
            assert neurons is not None
            self.neurons.update(core, neurons)

    def merge(self, later: "Accumulators") -> None:
        """Take in a pass with the same settings over the rows that follow."""
        self.activity.merge(later.activity)
        self.strongest.merge(later.strongest)
        self.sampled.merge(later.sampled)
        self.sample.merge(later.sample)
        self.tokens.merge(later.tokens)
        for mine, theirs in zip(self.labels, later.labels, strict=True):
            mine.merge(theirs)
        if self.neurons is not None and later.neurons is not None:
            self.neurons.merge(later.neurons)

    def finish(self, neurons_site: str | None) -> PassResult:
        """Everything that was found."""
        bands = histogram_quantiles(self.activity.histogram, BANDS)
        keep = self._settings.n_partners
        return PassResult(
            activity=self.activity.finish(),
            strongest=self.strongest.finish(bands),
            sampled=self.sampled.finish(bands),
            coactivation=self.sample.finish(keep),
            neurons=None
            if self.neurons is None or neurons_site is None
            else self.neurons.finish(neurons_site, keep),
            labels=tuple(label.finish() for label in self.labels),
            token_count=self.tokens.count,
        )
