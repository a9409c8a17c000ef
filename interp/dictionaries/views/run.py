"""View every feature of a dictionary over a store: one pass, bounded memory."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from sae_lens.saes.sae import SAE

from interp.capture.store import ActivationStore
from interp.dictionaries.card import DictionaryCard, check_fits, site_in
from interp.dictionaries.files import bundled_dictionaries, open_dictionary
from interp.dictionaries.views.accumulators import Accumulators, PassSettings
from interp.dictionaries.views.decoder import Readout, logits, neighbours
from interp.dictionaries.views.encoding import Encoder
from interp.dictionaries.views.feature_views import FeatureViews
from interp.dictionaries.views.label_columns import label_columns
from interp.dictionaries.views.reading import null_bank, viewed_batches
from interp.dictionaries.weights_hash import weights_sha256
from interp.results.errors import BadInput
from interp.results.progress import progress
from interp.results.provenance import Provenance

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_BATCH_ENTRIES = 1 << 26


def view_features(
    dictionary: SAE[Any] | Path | str,
    store: ActivationStore | Path | str,
    *,
    sae_id: str | None = None,
    model: "TransformerBridge | str | None" = None,
    site: str | None = None,
    neurons: str | None = None,
    labels: Sequence[str] | None = None,
    n_strongest: int = 10,
    n_sampled: int = 16,
    width: int = 8,
    n_partners: int = 8,
    batch_size: int | None = None,
    seed: int = 0,
    force: bool = False,
    command: str | None = None,
) -> FeatureViews:
    """The views of every feature over all rows of a store, in one pass over it.

    `dictionary` and `sae_id` are as for `open_dictionary`, or the dictionary itself.
    `neurons` is a second site to correlate with; `labels` are columns of the store, all that fit
    unless named; with a `model` the logits are viewed too. Memory does not grow with the rows.
    Raises Mismatch where the dictionary is of another model, site or width than the store, BadInput
    for a NaN in the store (its row is named), a label that does not fit, a number out of range.
    """
    _check_numbers(n_strongest=n_strongest, n_sampled=n_sampled, n_partners=n_partners)
    _check_numbers(least=0, width=width, seed=seed)
    _check_numbers(batch_size=1 if batch_size is None else batch_size)
    sae, name = _opened(dictionary, sae_id)
    store = store if isinstance(store, ActivationStore) else ActivationStore.open(store)
    card = DictionaryCard.of(sae)
    site = _site(card, store, site)
    # A transcoder's output is not looked at: the store need not hold it.
    reads = replace(card, site_out=None)
    check_fits(reads, site=site, store=store, width=prod(store.shape(site)), force=force)
    readout = None if model is None else _readout(card, store, model, site, force)
    columns, left_out = label_columns(store, labels)
    _check_rows(store, neurons)
    settings = PassSettings(
        d_sae=card.d_sae,
        n_strongest=n_strongest,
        n_sampled=n_sampled,
        width=width,
        n_partners=n_partners,
        seed=seed,
        labels=columns,
        bank=None if neurons is None else null_bank(store, neurons, seed=seed),
    )
    state = accumulate(
        sae,
        store,
        settings,
        site=site,
        neurons=neurons,
        rows=(0, store.n_rows),
        batch_size=batch_size or batch_rows(card.d_sae),
    )
    # What the pass held is freed as it is finished, before the decoder is looked at.
    found = state.finish(neurons)
    del state
    generator = torch.Generator().manual_seed(seed)
    W_dec: Any = sae.W_dec.detach()
    words = store.vocabulary
    return FeatureViews(
        dictionary=name,
        sae_id=sae_id,
        weights_sha256=weights_sha256(sae),
        site=site,
        store=str(store.path),
        d_sae=card.d_sae,
        n_rows=store.n_rows,
        **vars(found),
        neighbours=neighbours(W_dec, keep=n_partners, generator=generator),
        logits=None
        if readout is None
        else logits(W_dec, readout, keep=n_partners, generator=generator),
        labels_left_out=left_out,
        vocabulary=None if words is None else tuple(words),
        provenance=Provenance.collect(
            command or f"interp.view_features({name!r}, {str(store.path)!r})",
            model_hash=store.provenance.model_hash,
            corpus_hash=store.provenance.corpus_hash,
            seed=seed,
            settings={
                "site": site,
                "neurons": neurons,
                "labels": [column.name for column in columns],
                "n_strongest": n_strongest,
                "n_sampled": n_sampled,
                "width": width,
                "n_partners": n_partners,
                "logits": readout is not None,
                "architecture": card.architecture,
            },
        ),
    )


def accumulate(
    sae: SAE[Any],
    store: ActivationStore,
    settings: PassSettings,
    *,
    site: str,
    neurons: str | None,
    rows: tuple[int, int],
    batch_size: int,
) -> Accumulators:
    """One pass over the rows [rows); parts of a store are merged in order into the whole."""
    state = Accumulators(settings)
    encoder = Encoder(sae)
    with progress("viewing features", total=rows[1] - rows[0], unit="rows") as advance:
        for batch in viewed_batches(
            store,
            encoder,
            d_sae=settings.d_sae,
            site=site,
            neurons=neurons,
            labels=[column.name for column in settings.labels],
            rows=rows,
            batch_size=batch_size,
            width=settings.width,
            device=sae.W_enc.device,
        ):
            state.update(batch.firings, batch.neurons)
            advance(batch.firings.n_rows)
    return state


def batch_rows(d_sae: int) -> int:
    """Rows of a batch: their dense pre-activations are at most 256 MB, and at most 4,096 rows."""
    return max(min(_BATCH_ENTRIES // d_sae, 4096), 16)


def _opened(dictionary: SAE[Any] | Path | str, sae_id: str | None) -> tuple[SAE[Any], str]:
    """The dictionary, and the name under which it can be opened from any directory."""
    if isinstance(dictionary, SAE):
        if sae_id is not None:
            raise BadInput(f"a dictionary as an object has no id {sae_id!r}: leave it out")
        name = getattr(dictionary.cfg.metadata, "hook_name", None) or dictionary.cfg.architecture()
        return dictionary, str(name)
    sae, name = open_dictionary(dictionary, sae_id=sae_id), str(dictionary)
    is_local = sae_id is None and name not in bundled_dictionaries()
    return sae, str(Path(name).expanduser().resolve()) if is_local else name


def _check_numbers(*, least: int = 1, **asked: int) -> None:
    for name, number in asked.items():
        if number < least:
            raise BadInput(f"{name} is {number}: expected at least {least}")


def _site(card: DictionaryCard, store: ActivationStore, site: str | None) -> str:
    wanted = site or card.site
    if wanted is not None:
        # Where the store has no such site, the check that follows says which it has.
        return site_in(store, wanted) or wanted
    if len(store.sites) == 1:
        return store.sites[0]
    raise BadInput(
        f"the dictionary does not say its site, and {store.path} holds {', '.join(store.sites)}: "
        "give one with --site"
    )


def _check_rows(store: ActivationStore, neurons: str | None) -> None:
    if store.n_rows == 0:
        raise BadInput(f"{store.path} holds no row: capture some tokens first")
    if neurons is not None:
        store.shape(neurons)


def _readout(
    card: DictionaryCard,
    store: ActivationStore,
    model: "TransformerBridge | str",
    site: str,
    force: bool,
) -> Readout:
    from interp.capture.weights import in_memory_hash
    from interp.dictionaries.views.model_readout import readout_of
    from interp.models.load import load

    bridge = load(model, device="cpu") if isinstance(model, str) else model
    known = card.model_hash or store.provenance.model_hash
    check_fits(replace(card, model_hash=known), model_hash=in_memory_hash(bridge), force=force)
    return readout_of(bridge, card.site_out or site)
