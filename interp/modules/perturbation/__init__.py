"""Perturbation: what a model can no longer do once a group of its neurons is disturbed.

That the best neurons of a function sit together is no evidence that the model uses them. Here they
are held at their mean (or disturbed in another way) while every function is asked: a module is
named rightly where its own function suffers, the others do not, and random neurons do no such harm.

    items = read_function_items(Path("items.jsonl"), bridge.tokenizer)
    found = perturb(bridge, [scores], [partition], items)
    found.specificity(), found.over("random neurons")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from interp.modules.perturbation.result import PerturbationResult

if TYPE_CHECKING:
    from interp.modules.perturbation.items import FunctionItem as FunctionItem
    from interp.modules.perturbation.items import read_function_items as read_function_items
    from interp.modules.perturbation.items import write_function_items as write_function_items
    from interp.modules.perturbation.perturbing import perturb as perturb

_HOMES = {
    "FunctionItem": "items",
    "perturb": "perturbing",
    "read_function_items": "items",
    "write_function_items": "items",
}

__all__ = ["PerturbationResult", *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    # Lazy: opening a result must not load torch.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
