"""Evaluate a dictionary on a store, and in a model: every measure beside its baselines."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sae_lens import SAE
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.store import ActivationStore
from interp.corpus.corpus import Corpus
from interp.dictionaries.card import DictionaryCard
from interp.dictionaries.evaluation import assembly
from interp.dictionaries.evaluation.admission import (
    admitted_model,
    admitted_sites,
    let_pass,
    remarks,
)
from interp.dictionaries.evaluation.assembly import measured
from interp.dictionaries.evaluation.contestants import Contestant, of_dictionary
from interp.dictionaries.evaluation.evaluation import ContestantRow, DictionaryEvaluation
from interp.dictionaries.evaluation.firing import feature_measures
from interp.dictionaries.evaluation.fitting import fit_on, fitted_baselines
from interp.dictionaries.evaluation.geometry import Geometry, geometry
from interp.dictionaries.evaluation.measuring import RowsMeasured, measure_rows
from interp.dictionaries.evaluation.others import refuse_other_widths, shared_features
from interp.dictionaries.evaluation.randomised_rows import randomised_sums
from interp.dictionaries.evaluation.reconstruction import reconstruction_measures
from interp.dictionaries.evaluation.rows import RowReader, split_rows
from interp.dictionaries.evaluation.splicing import (
    Predicted,
    Sites,
    spliced_losses,
    splicing_measures,
)
from interp.dictionaries.files import open_dictionary
from interp.dictionaries.matching import best_matches, directions
from interp.dictionaries.weights_hash import weights_sha256
from interp.models.load import load, reference_of
from interp.results.errors import BadInput
from interp.results.intervals import Interval, mean_t, wilson
from interp.results.progress import progress
from interp.results.provenance import Provenance
from interp.results.sequence_sums import ROWS, BySequence, SequenceSums, bootstrap

BASELINES = ("pca", "random", "neurons", "randomised_model")
RECOVERED_AT = 0.9
"""Cosine from which a true feature counts as recovered."""
_ENTRIES_AT_ONCE = 1 << 24
_MOST_ROWS = 4096


@torch.no_grad()
def evaluate_dictionary(
    sae: SAE[Any] | Path | str,
    store: ActivationStore | Path | str,
    *,
    site: str | None = None,
    model: TransformerBridge | Path | str | None = None,
    corpus: Corpus | None = None,
    n_tokens: int = 100_000,
    n_spliced: int = 10_000,
    predicted: Predicted = "all",
    baselines: Sequence[str] = BASELINES,
    others: Mapping[str, Any] | None = None,
    truth: Float[Tensor, "features d_out"] | None = None,
    specials: bool = False,
    seed: int = 0,
    force: bool = False,
    command: str = "interp.evaluate_dictionary(...)",
) -> DictionaryEvaluation:
    """Every measure of a dictionary with its interval and n, beside baselines as sparse as it.

    `sae` is a sae-lens object, or what `open_dictionary` takes; `site` is read where it does not
    say its own, or with `force` another than its own.

    Rows: at most `n_tokens` of the store, in blocks of sequences drawn by `seed`; baselines are
    fitted on others. `model` with `corpus` adds losses with the reconstruction spliced in, over
    `n_spliced` tokens from the corpus's beginning (`predicted="last"`: the last token of each
    sequence alone counts), and the dictionary on the model with weights drawn again. `others`:
    dictionaries by name, for the share of features in common. `truth`: true directions of
    synthetic data. Special tokens are neither evaluated nor replaced, unless `specials`.

    Raises Mismatch for a dictionary of another model or site (unless `force`) or width, and for
    others of another width; BadInput for a store with NaN or infinity, one too small to split, and
    one of several sites where none is known.
    """
    sae = open_dictionary(sae) if isinstance(sae, Path | str) else sae
    store = ActivationStore.open(store) if isinstance(store, Path | str) else store
    _check_arguments(baselines, model, corpus)
    card = DictionaryCard.of(sae)
    sites = admitted_sites(card, store, site, force=force)
    refuse_other_widths(sae, others or {})
    bridge = load(model) if isinstance(model, Path | str) else model
    spliced = None if bridge is None else admitted_model(bridge, card, store, force=force)
    with _rows_as_they_are(sae):
        run = _Evaluation(sae, card, store, sites, seed=seed, specials=specials)
        run.statements += let_pass(card, store, sites, spliced)
        run.on_rows(baselines, n_tokens)
        if bridge is not None and corpus is not None:
            run.in_model(bridge, corpus, n_spliced, predicted)
            if "randomised_model" in baselines:
                run.in_randomised_model(bridge, corpus, n_spliced)
        elif "randomised_model" in baselines:
            run.statements.append("No randomised model: it needs a model and a text.")
        if truth is not None:
            run.against(truth)
    provenance = Provenance.collect(
        command,
        model_hash=store.provenance.model_hash,
        corpus_hash=store.provenance.corpus_hash,
        seed=seed,
        settings={
            "n_tokens": n_tokens,
            "n_spliced": n_spliced,
            "predicted": predicted,
            "baselines": list(baselines),
            "others": sorted(others or {}),
            "specials": specials,
            "force": force,
            "store": store.header.identity,
            "sites": list(sites),
            "spliced_model_hash": spliced,
            "spliced_corpus": None if corpus is None else corpus.hash,
        },
    )
    return run.finish(others or {}, provenance)


class _Evaluation:
    """The columns of one table, filled one after the other."""

    def __init__(
        self,
        sae: Any,
        card: DictionaryCard,
        store: ActivationStore,
        sites: Sites,
        *,
        seed: int,
        specials: bool,
    ) -> None:
        self.sae, self.card, self.store = sae, card, store
        self.seed, self.specials = seed, specials
        self.device = next(sae.parameters()).device
        self.sites = sites
        self.dictionary = of_dictionary(sae)
        self.contestants: list[Contestant] = [self.dictionary]
        self.found: dict[str, list[tuple[dict[str, Interval], int]]] = {}
        self.statements = remarks(card, store, specials=specials)
        self.rows: RowsMeasured | None = None
        self.geometry: Geometry | None = None

    def on_rows(self, baselines: Sequence[str], n_tokens: int) -> None:
        """Reconstruction and sparsity of all contestants on the store; geometry of the first."""
        rng = np.random.default_rng(self.seed)
        split = split_rows(self.store, n_tokens=n_tokens, rng=rng)
        reader = RowReader(
            store=self.store,
            site=self.sites.source,
            site_out=self.sites.target,
            specials=self.specials,
            device=self.device,
        )
        d_sae = self.card.d_sae
        batch_size = max(1, min(_MOST_ROWS, _ENTRIES_AT_ONCE // max(d_sae, 1)))
        fit = fit_on(reader, split.fitted, self.dictionary, batch_size=batch_size)
        simple, left_out = fitted_baselines(self.sae, fit, baselines, seed=self.seed)
        self.contestants += simple
        self.statements += left_out
        total = sum(stop - start for start, stop in split.evaluated)
        with progress("evaluate", total=total, unit="rows") as advance:
            self.rows = measure_rows(
                reader,
                split.evaluated,
                self.contestants,
                d_sae=d_sae,
                batch_size=batch_size,
                advance=advance,
            )
        for contestant in self.contestants:
            self._add(contestant.key, self.rows.sums[contestant.key], reconstruction_measures)
        counts = self.rows.counts
        features = feature_measures(counts.fired, counts.n_rows)
        bound = features.pop("dead_density_bound")
        self.geometry = geometry(self.sae, generator=torch.Generator().manual_seed(self.seed))
        features["nearest_decoder_cosine"] = assembly.mean_over_features(self.geometry.nearest)
        angle = assembly.mean_over_features(self.geometry.encoder_decoder)
        features["encoder_decoder_cosine"] = angle
        self.found["dictionary"] += [
            (features, d_sae),
            ({"dead_density_bound": bound}, counts.n_rows),
        ]

    def in_model(
        self, bridge: TransformerBridge, corpus: Corpus, n_tokens: int, predicted: Predicted
    ) -> None:
        """Losses with each contestant's reconstruction in the place of the site."""
        assert self.rows is not None
        with progress("splice", total=n_tokens, unit="tokens") as advance:
            sums = spliced_losses(
                bridge,
                corpus,
                self.contestants,
                self.sites,
                self.rows.centre.float(),
                n_tokens=n_tokens,
                specials=self.specials,
                predicted=predicted,
                device=self.device,
                advance=advance,
            )
        for contestant in self.contestants:
            self._add(contestant.key, sums[contestant.key], splicing_measures)
        own, _ = self.found["dictionary"][-1]
        for name in ("zero", "mean"):
            if own[f"ce_{name}"].value <= own["ce_clean"].value:
                self.statements.append(
                    f"Ablating the site ({name}) does not raise the loss on this text, so there is "
                    "no loss to recover: is it text the model was trained for? If each document "
                    "was a row of its own: --packing document. If it was trained on answers alone: "
                    '--last (predicted="last").'
                )
        if corpus.hash != self.store.provenance.corpus_hash:
            self.statements.append(f"Losses are on {corpus.name}, which is not the store's corpus.")

    def in_randomised_model(self, bridge: TransformerBridge, corpus: Corpus, n_tokens: int) -> None:
        """The same dictionary where nothing was learnt."""
        reference = reference_of(bridge)
        if reference is None or reference.path is None:
            self.statements.append("No randomised model: this model was not loaded from files.")
            return
        note = (
            "this dictionary, trained on real activations, on those of the model with every weight "
            "drawn again (normal, mean and sd of its tensor); training one there is another matter"
        )
        contestant = of_dictionary(self.sae, key="randomised_model", title="randomised model")
        contestant = Contestant(**{**vars(contestant), "note": note})
        sums = randomised_sums(
            reference.path,
            corpus,
            contestant,
            self.sites,
            n_tokens=n_tokens,
            specials=self.specials,
            seed=self.seed,
            device=self.device,
        )
        self.contestants.append(contestant)
        self._add(contestant.key, sums, reconstruction_measures)

    def against(self, truth: Float[Tensor, "features d_out"]) -> None:
        """Recovery of known features."""
        cosine = best_matches(truth.cpu().float(), directions(self.sae).cpu()).cosine
        recovered = wilson(int((cosine >= RECOVERED_AT).sum()), len(cosine))
        mmcs = mean_t(cosine.astype(np.float64))
        self.found["dictionary"].append(({"mmcs": mmcs, "recovered": recovered}, len(cosine)))

    def finish(self, others: Mapping[str, Any], provenance: Provenance) -> DictionaryEvaluation:
        """The finding."""
        assert self.rows is not None
        assert self.geometry is not None
        counts = self.rows.counts
        table = [measured(*self.found[each.key]) for each in self.contestants]
        titles = [each.title for each in self.contestants]
        measures, arrays = assembly.arrays(table)
        generator = torch.Generator().manual_seed(self.seed)
        return DictionaryEvaluation(
            dictionary=assembly.facts(self.card, weights_sha256(self.sae)),
            contestants=tuple(
                ContestantRow(key=each.key, title=each.title, note=each.note)
                for each in self.contestants
            ),
            measures=measures,
            **arrays,
            n_rows=counts.n_rows,
            n_sequences=len(self.rows.sums["dictionary"].finish().sums),
            fired=counts.fired,
            l0_quantiles=counts.l0_quantiles(),
            nearest=self.geometry.nearest,
            nearest_null=self.geometry.nearest_null,
            encoder_decoder=self.geometry.encoder_decoder,
            shared=tuple(
                shared_features(self.sae, o, name=name, fired=counts.fired, generator=generator)
                for name, o in others.items()
            ),
            statements=(*assembly.comparisons(titles, table), *self.statements),
            provenance=provenance,
        )

    def _add(self, key: str, sums: SequenceSums, statistic: Any) -> None:
        by_sequence: BySequence = sums.finish()
        # One seed for all columns: they are measured on the same draws of sequences.
        intervals = bootstrap(by_sequence, statistic, rng=np.random.default_rng(self.seed))
        n = int(by_sequence.column(ROWS).sum())
        self.found.setdefault(key, []).append((intervals, n))


def _check_arguments(baselines: Sequence[str], model: object | None, corpus: Corpus | None) -> None:
    unknown = sorted(set(baselines) - set(BASELINES))
    if unknown:
        raise BadInput(f"no baseline {unknown[0]!r}: take of {', '.join(BASELINES)}")
    if (model is None) != (corpus is None):
        raise BadInput("losses need a model and a text: give both, or neither")


@contextmanager
def _rows_as_they_are(sae: Any) -> Iterator[None]:
    """A store's rows are flat: a dictionary of hook_z must not ask for a heads axis."""
    reshaping = sae.hook_z_reshaping_mode
    if reshaping:
        sae.turn_off_forward_pass_hook_z_reshaping()
    try:
        yield
    finally:
        if reshaping:
            sae.turn_on_forward_pass_hook_z_reshaping()
