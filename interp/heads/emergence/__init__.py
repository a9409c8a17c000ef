"""Emergence: when heads form over training, and whether in-context learning comes with them.

Heads are chosen at the last checkpoint on one half of the documents and traced on the other. Every
curve gets a change point with its interval; that two curves change together is no cause, so the
answers are read again without the heads.

    found = follow_heads("relations/binding", "facts.jsonl", icl="levels")
    print(found)
    found.lags, found.changes
"""

from typing import TYPE_CHECKING, Any

from interp.heads.emergence.result import HeadEmergence

if TYPE_CHECKING:
    from interp.heads.emergence.run import follow_heads

__all__ = ["HeadEmergence", "follow_heads"]


def __getattr__(name: str) -> Any:
    # A page that opens a finding must not load torch.
    if name != "follow_heads":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from interp.heads.emergence.run import follow_heads

    return follow_heads
