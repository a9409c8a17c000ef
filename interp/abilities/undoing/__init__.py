"""Undoing: the bits that a transfer overwrote, kept and put back."""
