"""Locating: scores of entries and units, the evidence they need, and the masks they give."""
