"""Emergence: when neurons, experts and partitions of a model become what they stay.

Checkpoints of one training run are measured on one labelled text. Neurons keep their identity
through training, so no matching is needed; every curve stands beside what one checkpoint, chance or
averaging alone gives, because without that none of them says anything.

    found = follow_series("functions/planted", "lines.jsonl", "emergence", labels=["function"],
                          n_experts=12)
    print(found)
    found.settled(tolerance=0.1), found.monitor()
"""

from typing import TYPE_CHECKING, Any

from interp.modules.emergence.stability import Setup, Stability

if TYPE_CHECKING:
    from interp.modules.emergence.run import follow_series

__all__ = ["Setup", "Stability", "follow_series"]


def __getattr__(name: str) -> Any:
    # A page that opens a finding must not load torch.
    if name != "follow_series":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from interp.modules.emergence.run import follow_series

    return follow_series
