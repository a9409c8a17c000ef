"""Every architecture a dictionary can be trained as: sae-lens's own under their names, and ours.

A dictionary in training is a sae-lens `TrainingSAE`: it saves through `save_inference_model` and
loads in sae-lens. `transcoder` and `skip_transcoder`, which sae-lens loads but does not train, are
added, and the TopK kinds step through the sparse arithmetic of `interp.dictionaries.sparse`.

    from interp.dictionaries.architectures import architectures, make
    print(*architectures())
    sae = make("batchtopk", d_in=768, d_sae=12288, seed=0, k=32)
    sae.save_inference_model("a-directory")
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from sae_lens.registry import SAE_TRAINING_CLASS_REGISTRY

from interp.dictionaries.architectures.architecture import Architecture
from interp.dictionaries.architectures.construction import make as make
from interp.dictionaries.architectures.construction import seeded as seeded


@cache
def _ours() -> dict[str, Architecture]:
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    found = [module.ARCHITECTURE for module in modules if hasattr(module, "ARCHITECTURE")]
    return {architecture.name: architecture for architecture in found}


def architectures() -> dict[str, Architecture]:
    """Every architecture by name: those registered for training in sae-lens, and ours."""
    ours = _ours()
    theirs = {
        name: Architecture(
            name=name,
            config_class=config_class,
            training_class=training_class,
            note=f"sae-lens's {training_class.__name__}",
        )
        for name, (training_class, config_class) in SAE_TRAINING_CLASS_REGISTRY.items()
        if name not in ours
    }
    return dict(sorted((theirs | ours).items()))
