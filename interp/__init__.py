"""interp: look inside language models, from activations to abilities.

Capture streams a model's activations into a store that survives being killed; sparse dictionaries
learn features from it; neurons are scored for what they detect, grouped, and taken away to see what
is lost; abilities are located in the weights, extracted as a file and added to another model. Every
number comes with its interval, its null and what made it.

    import interp
    model = interp.load("polyglot")
    corpus = interp.open_corpus("text.txt", "polyglot", length=64)
    store = interp.record(model, corpus, ["blocks.*.hook_resid_post"], "store", max_tokens=10_000)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interp.abilities.allo.align import align as align
    from interp.abilities.comparing.verify import verify as verify
    from interp.abilities.effects.side_effect_measurement import side_effects as side_effects
    from interp.abilities.influence.scoring import influence_of as influence_of
    from interp.abilities.locating.locate import locate as locate
    from interp.abilities.maet import maet as maet
    from interp.abilities.merge.models import merge_models as merge_models
    from interp.abilities.moving.extract import extract as extract
    from interp.abilities.moving.transfer import transfer as transfer
    from interp.abilities.training.masked_training import train_ability as train_ability
    from interp.abilities.undoing.undo import undo as undo
    from interp.capture.run import record as record
    from interp.capture.store import ActivationStore as ActivationStore
    from interp.corpus.sources import open_corpus as open_corpus
    from interp.dictionaries.evaluation.run import evaluate_dictionary as evaluate_dictionary
    from interp.dictionaries.files import open_dictionary as open_dictionary
    from interp.dictionaries.training.train import train as train_dictionary  # noqa: F401
    from interp.dictionaries.views.run import view_features as view_features
    from interp.evaluation.evaluate import evaluate as evaluate
    from interp.models.load import load as load
    from interp.modules.functional.find import functional_experts as functional_experts
    from interp.modules.partitioning.run import partition as partition
    from interp.modules.perturbation.perturbing import perturb as perturb
    from interp.neurons.score import score_neurons as score_neurons
    from interp.neurons.sparsity.run import measure_sparsity as measure_sparsity
    from interp.results.study import Study as Study

_HOMES = {
    "ActivationStore": "interp.capture.store",
    "Study": "interp.results.study",
    "align": "interp.abilities.allo.align",
    "evaluate": "interp.evaluation.evaluate",
    "evaluate_dictionary": "interp.dictionaries.evaluation.run",
    "extract": "interp.abilities.moving.extract",
    "influence_of": "interp.abilities.influence.scoring",
    "load": "interp.models.load",
    "locate": "interp.abilities.locating.locate",
    "maet": "interp.abilities.maet",
    "merge_models": "interp.abilities.merge.models",
    "functional_experts": "interp.modules.functional.find",
    "measure_sparsity": "interp.neurons.sparsity.run",
    "open_corpus": "interp.corpus.sources",
    "open_dictionary": "interp.dictionaries.files",
    "partition": "interp.modules.partitioning.run",
    "perturb": "interp.modules.perturbation.perturbing",
    "record": "interp.capture.run",
    "score_neurons": "interp.neurons.score",
    "side_effects": "interp.abilities.effects.side_effect_measurement",
    "train_ability": "interp.abilities.training.masked_training",
    "train_dictionary": "interp.dictionaries.training.train",
    "transfer": "interp.abilities.moving.transfer",
    "undo": "interp.abilities.undoing.undo",
    "verify": "interp.abilities.comparing.verify",
    "view_features": "interp.dictionaries.views.run",
}
_NAMES_AT_HOME = {"train_dictionary": "train"}
"""Where a name says less at home than here."""

__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """A public name, imported at its first use: importing interp alone never imports torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'interp' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), _NAMES_AT_HOME.get(name, name))


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
