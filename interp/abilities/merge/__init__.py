"""Merging whole models, from files to files: task arithmetic, TIES, DARE, linear and SLERP.

A method is a value that holds two functions: what it has to know of a whole tensor before it can
merge one (a threshold, a norm), and what it makes of any piece of it. Each has one file here, and
the streaming engine does the rest, in memory that grows neither with the models nor with a tensor.

    from interp.abilities.merge import MergeRecipe, merge_models
    recipe = MergeRecipe.of("ties", n_models=2, weights=[0.6, 0.5], density=0.2)
    merge_models(recipe, "base", ["one", "two"], "merged")
"""

from interp.abilities.merge.merged import MergedModel
from interp.abilities.merge.models import merge_models
from interp.abilities.merge.recipe import PRESETS, MergeRecipe, MethodName, PresetName

__all__ = ["PRESETS", "MergeRecipe", "MergedModel", "MethodName", "PresetName", "merge_models"]
