"""Partitioning: the ways to form experts from the neurons of a dense layer, one file each.

from interp.modules.partitioning.run import partition
found = partition("models/base", "blocks.3.mlp.hook_post", 12, by="weights")
found.seed_ari.mean, found.rounds
"""
