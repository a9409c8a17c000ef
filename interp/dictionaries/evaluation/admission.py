"""On what a dictionary is evaluated: its sites in a store, the model, and what was let pass."""

from transformer_lens.model_bridge import TransformerBridge

from interp.capture.forward import refuse_hooked
from interp.capture.store import ActivationStore
from interp.capture.weights import in_memory_hash
from interp.dictionaries.card import DictionaryCard, check_fits, misfits, site_in
from interp.dictionaries.evaluation.splicing import Sites, refuse_without_losses
from interp.results.errors import BadInput, Mismatch


def admitted_sites(
    card: DictionaryCard, store: ActivationStore, site: str | None, *, force: bool
) -> Sites:
    """The sites of `store` to read and to reconstruct: `site`, or the card's, or the only one.

    Raises Mismatch for a dictionary of another model or site (unless `force`) or of another width,
    and where the store lacks a site; BadInput where several could be meant.
    """
    source = site or card.site or (store.sites[0] if len(store.sites) == 1 else None)
    if source is None:
        raise BadInput(
            f"the dictionary does not say its site, and {store.path} holds "
            f"{', '.join(store.sites)}: give one with --site (site=)"
        )
    check_fits(card, store=store, site=source, force=force)
    held = [site_in(store, name) for name in (source, card.site_out or source)]
    return Sites(str(held[0]), str(held[1]))


def admitted_model(
    bridge: TransformerBridge, card: DictionaryCard, store: ActivationStore, *, force: bool
) -> str:
    """The hash of a model that losses can be measured in; Mismatch for another than both's."""
    refuse_without_losses(bridge)
    refuse_hooked(bridge)
    own, captured = in_memory_hash(bridge), store.provenance.model_hash
    check_fits(card, model_hash=own, force=force)
    if captured is not None and captured != own and not force:
        raise Mismatch(
            f"{store.path} holds activations of a model with hash {captured[:12]}, this one has "
            f"{own[:12]}: give the model that was captured, or pass --force (force=True)"
        )
    return own


def let_pass(
    card: DictionaryCard, store: ActivationStore, sites: Sites, spliced: str | None
) -> list[str]:
    """Every model and site that does not fit, in a sentence naming both; `spliced` is a hash."""
    captured = store.provenance.model_hash
    said = [f"Forced, on the store's rows: {text}."
            for text in misfits(card, model_hash=captured, site=sites.source)]  # fmt: skip
    if spliced is not None and spliced != captured:
        said += [f"Forced, in the model: {text}." for text in misfits(card, model_hash=spliced)]
        if captured is not None:
            said.append(
                f"Forced: rows are of a model with hash {captured[:12]}, losses of one with hash "
                f"{spliced[:12]}."
            )
    return said


def trained_on(card: DictionaryCard, store: ActivationStore) -> str | None:
    """Whether the figures are in-sample, as far as that is known; None for another corpus."""
    # A training records a store with its number of rows: one that grew since is still that store.
    identity = None if card.store_identity is None else card.store_identity.partition("/")[0]
    if identity == store.header.identity:
        return "The dictionary was trained on this store: its figures are in-sample."
    corpus = store.provenance.corpus_hash
    if card.corpus_hash is None or corpus is None:
        whose = "the dictionary" if card.corpus_hash is None else "the store"
        return f"No corpus is known of {whose}: that the figures are in-sample is not ruled out."
    if card.corpus_hash == corpus:
        return "The dictionary was trained on this corpus: its figures are in-sample."
    return None


def remarks(card: DictionaryCard, store: ActivationStore, *, specials: bool) -> list[str]:
    """What a reader must know of a dictionary and a store before any figure."""
    trained = trained_on(card, store)
    said = [] if trained is None else [trained]
    if card.model_hash is None:
        said.append("The dictionary does not say of which model it is: nothing was checked.")
    if not specials:
        said.append("BOS and other special tokens are left out, and not replaced in the model.")
    return said
