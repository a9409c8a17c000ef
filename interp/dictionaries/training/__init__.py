"""Dictionaries learnt from recorded activations by sae-lens's own training classes.

One read of a store trains every combination of sites, widths and sparsities asked for, in an order
that the seed decides. A run that was killed goes on from its last checkpoint with the same call,
and ends with the weights of an uninterrupted one.

    from interp.dictionaries.training.train import train
    train("store", "dictionary", site="blocks.2.hook_resid_post", d_sae=2048, k=16,
          n_tokens=2_000_000)
    train("store", "transcoders", arch="transcoder", site="blocks.*.mlp.hook_in",
          site_out="blocks.*.hook_mlp_out", d_sae=[1024, 4096], k=[8, 16], n_tokens=2_000_000)
"""

from typing import TYPE_CHECKING, Any

from interp.dictionaries.training.recipe import TrainingRecipe, TrainingSettings

if TYPE_CHECKING:
    from interp.dictionaries.training.live import live_source

__all__ = ["TrainingRecipe", "TrainingSettings", "live_source"]


def __getattr__(name: str) -> Any:
    # A page that reads a recipe must not load torch. `train` is the module here, not its function.
    if name != "live_source":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from interp.dictionaries.training.live import live_source

    return live_source
