"""DictionaryCard: which model, site and store a dictionary is of; a use that does not fit.

A dictionary is a sae-lens object, and its card travels inside it: in `cfg.metadata`, where sae-lens
keeps the hook and model names of its own, under the key `interp`.

card = DictionaryCard.of(sae)
replace(card, site="blocks.2.mlp.hook_post", seed=0).write_to(sae)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol, runtime_checkable

from interp.capture.store import ActivationStore
from interp.results.errors import CorruptFile, Mismatch
from interp.results.provenance import Provenance

SCHEMA = "interp.dictionary-card/1"
KEY = "interp"
"""Where the card lies in sae-lens's metadata."""

_OURS = (
    *("model_hash", "corpus_hash", "store_identity", "store_rows"),
    *("n_training_tokens", "seed"),
)
_FORCE = "pass --force (force=True) to use it all the same"


@runtime_checkable
class SaeLensObject(Protocol):
    """Anything with a sae-lens config: an SAE or a transcoder, trained or in training."""

    cfg: Any


@dataclass(frozen=True, kw_only=True)
class DictionaryCard:
    """What a dictionary is and what it was learnt from; None where that is not known."""

    architecture: str
    """As saved, by sae-lens's name: a BatchTopK dictionary is `jumprelu`."""
    training_architecture: str | None
    """As trained."""
    d_in: int
    d_out: int
    """`d_in` unless it is a transcoder."""
    d_sae: int
    site: str | None
    """The hook that is read."""
    site_out: str | None
    """The hook that is reconstructed where that is another: of a transcoder."""
    model: str | None
    """The name as given."""
    model_hash: str | None
    """Of weights and config, as a store's provenance has it."""
    corpus_hash: str | None
    store_identity: str | None
    """Hash of everything that decides the rows of the store."""
    store_rows: int | None
    n_training_tokens: int | None
    """Rows seen in training, a row as often as it was seen."""
    seed: int | None
    provenance: Provenance | None

    @classmethod
    def of(cls, sae: SaeLensObject) -> "DictionaryCard":
        """The card of a dictionary; of one trained elsewhere, what sae-lens's metadata say."""
        return cls.from_config(_inference_config(sae.cfg))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "DictionaryCard":
        """The card in a sae-lens config (`cfg.json`). CorruptFile where it is garbled."""
        metadata = config.get("metadata") or {}
        ours = metadata.get(KEY) or {}
        try:
            if ours and ours["schema"] != SCHEMA:
                raise CorruptFile(f"the card is {ours['schema']!r}, expected {SCHEMA!r}: upgrade")
            provenance = ours.get("provenance")
            return cls(
                architecture=config["architecture"],
                training_architecture=metadata.get("training_architecture"),
                d_in=config["d_in"],
                d_out=config.get("d_out", config["d_in"]),
                d_sae=config["d_sae"],
                site=metadata.get("hook_name") or None,
                site_out=metadata.get("hook_name_out") or None,
                model=metadata.get("model_name") or None,
                provenance=None if provenance is None else Provenance.from_json(provenance),
                **{name: ours.get(name) for name in _OURS},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise CorruptFile(f"the card of the dictionary lacks or garbles {error}") from error

    def write_to(self, sae: SaeLensObject) -> None:
        """Set the metadata of `sae`, which must be of these widths (Mismatch)."""
        own = DictionaryCard.of(sae)
        if (own.d_in, own.d_out, own.d_sae) != (self.d_in, self.d_out, self.d_sae):
            raise Mismatch(
                f"a card of widths {self.d_in} to {self.d_sae} to {self.d_out} for a dictionary of "
                f"{own.d_in} to {own.d_sae} to {own.d_out}: take DictionaryCard.of(sae) and replace"
            )
        metadata = sae.cfg.metadata
        metadata.hook_name = self.site
        metadata.model_name = self.model
        if self.site_out is not None:
            metadata.hook_name_out = self.site_out
        metadata[KEY] = {
            "schema": SCHEMA,
            **{name: getattr(self, name) for name in _OURS},
            "provenance": None if self.provenance is None else self.provenance.to_json(),
        }


def check_fits(
    card: DictionaryCard,
    *,
    model: str | None = None,
    model_hash: str | None = None,
    site: str | None = None,
    width: int | None = None,
    store: ActivationStore | None = None,
    force: bool = False,
) -> None:
    """Nothing, where a dictionary may be used on these; Mismatch names both otherwise.

    A model is compared by its hash where both are known, by its name where not. Of a store, its
    model is compared, and that it holds the dictionary's sites (or `site`) at their widths. What
    is not known on either side is not compared. `force` lets another model or site pass, never
    another width.
    """
    if store is not None:
        model_hash = model_hash or store.provenance.model_hash
    unlike = misfits(card, model=model, model_hash=model_hash, site=site)
    if unlike and not force:
        raise Mismatch(f"{unlike[0]}: {_FORCE}")
    if width is not None:
        _check_width(card.d_in, width, "rows")
    if store is not None:
        _check_store(card, site, store)


def misfits(
    card: DictionaryCard,
    *,
    model: str | None = None,
    model_hash: str | None = None,
    site: str | None = None,
) -> list[str]:
    """What `force` lets pass in `check_fits`, each naming both sides; empty where all fits."""
    return [said for said in (_model_misfit(card, model, model_hash), _site_misfit(card, site))
            if said is not None]  # fmt: skip


def same_site(one: str, other: str) -> bool:
    """Whether two hook names mean one tensor: what a block writes is what the next one reads."""
    return _canonical(one) == _canonical(other)


def site_in(store: ActivationStore, site: str) -> str | None:
    """The name under which `store` holds a site; None if it does not."""
    return next((name for name in store.sites if same_site(name, site)), None)


def _inference_config(cfg: Any) -> dict[str, Any]:
    if hasattr(cfg, "get_inference_sae_cfg_dict"):
        return cfg.get_inference_sae_cfg_dict()
    return cfg.to_dict()


def _model_misfit(card: DictionaryCard, model: str | None, model_hash: str | None) -> str | None:
    if card.model_hash is not None and model_hash is not None:
        if card.model_hash == model_hash:
            return None
        return (
            f"the dictionary is of {card.model or 'a model'} with hash {card.model_hash[:12]}, "
            f"this is {model or 'a model'} with hash {model_hash[:12]}"
        )
    if card.model is None or model is None or _plain(card.model) == _plain(model):
        return None
    return f"the dictionary is of {card.model}, this is {model}"


def _site_misfit(card: DictionaryCard, site: str | None) -> str | None:
    if card.site is None or site is None or same_site(card.site, site):
        return None
    return f"the dictionary is of {card.site}, this is {site}"


def _check_store(card: DictionaryCard, site: str | None, store: ActivationStore) -> None:
    for wanted, width in ((site or card.site, card.d_in), (card.site_out, card.d_out)):
        if wanted is None:
            continue
        held = site_in(store, wanted)
        if held is None:
            raise Mismatch(
                f"{store.path} holds {', '.join(store.sites)}, not {wanted}: capture that site"
            )
        _check_width(width, prod(store.shape(held)), f"{held} of {store.path}")


def _check_width(expected: int, width: int, what: str) -> None:
    if expected != width:
        raise Mismatch(
            f"the dictionary is of width {expected}, {what} of {width}: nothing can force that"
        )


def _plain(name: str) -> str:
    """A model's name without its owner: hub ids and sae-lens's short names of one model agree."""
    plain = name.rstrip("/").rsplit("/", 1)[-1].casefold()
    return "gpt2" if plain == "gpt2-small" else plain


def _canonical(site: str) -> str:
    block, _, leaf = site.partition(".hook_")
    parts = block.split(".")
    if len(parts) != 2 or not parts[1].isdecimal():
        return site
    if leaf in ("resid_pre", "in") and int(parts[1]) > 0:
        return f"{parts[0]}.{int(parts[1]) - 1}.hook_resid_post"
    if leaf == "out":
        return f"{block}.hook_resid_post"
    return f"{block}.hook_resid_pre" if leaf == "in" else site
