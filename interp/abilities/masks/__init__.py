"""Masks: which entries of a model are meant, as sets that are stored, compared and drawn."""
