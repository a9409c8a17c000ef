"""Measures: what one unit's activations have to do with one function, under many labellings.

Each takes the values of some units and lines of labels, the first as they are and the others as
chance could have placed them, and gives one score a line and unit. A new one is a file here and a
name in `Measure` and `MEASURES`.
"""
