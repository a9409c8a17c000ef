"""Planning: time, memory and disk of a job on weights at rest, before any of it is done.

From the headers of a model directory, from a `config.json` alone, or like a public model whose
shape ships with us. No weight is read and nothing is allocated.

    from interp.abilities.planning import plan_transfer, size_like
    base = size_like("llama-3-70b")
    plan = plan_transfer(base, languages=[base], selects=True)
    plan.reads, plan.disk, plan.seconds
"""

from interp.abilities.planning.jobs import (
    plan_extract,
    plan_locate,
    plan_maet,
    plan_merge,
    plan_transfer,
)
from interp.abilities.planning.model_size import size_from_config, size_like, size_of
from interp.abilities.planning.plan import Pass, Plan

__all__ = [
    "Pass",
    "Plan",
    "plan_extract",
    "plan_locate",
    "plan_maet",
    "plan_merge",
    "plan_transfer",
    "size_from_config",
    "size_like",
    "size_of",
]
