"""Dictionaries of other tools: read into sae-lens's format, and written out again.

What a format cannot say is refused by its name, never left out. Pickled weights are read as tensors
only; nothing in them is run.

from interp.dictionaries.exchange.importing import import_dictionary
from interp.dictionaries.exchange.exporting import export_dictionaries
"""
