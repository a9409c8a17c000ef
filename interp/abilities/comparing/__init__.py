"""Comparing: every method with its settings on the same items, and the table that results."""
