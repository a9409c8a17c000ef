"""The hash of a model in memory, where it is still that of its files."""

from transformer_lens.model_bridge import TransformerBridge

from interp.models.identity import model_hash
from interp.models.load import reference_of, unedited


def hash_as_loaded(bridge: TransformerBridge) -> str | None:
    """The model's hash; None for one made in memory or edited since it was loaded."""
    reference = reference_of(bridge)
    if reference is None or reference.path is None or not unedited(bridge):
        return None
    return model_hash(reference.path)
