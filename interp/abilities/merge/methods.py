"""The merge methods by name."""

from interp.abilities.merge import dare, linear, slerp, task_arithmetic, ties
from interp.abilities.merge.method import MergeMethod
from interp.abilities.merge.recipe import MethodName

METHODS: dict[MethodName, MergeMethod] = {
    method.name: method
    for module in (task_arithmetic, ties, dare, linear, slerp)
    for method in module.METHODS
}
