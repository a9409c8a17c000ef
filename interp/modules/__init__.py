"""Modules: groups of neurons, what each group is for, and whether taking it away shows it."""
