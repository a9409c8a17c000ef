"""What heads write while they read: copying, its opposite, and what they do to attended tokens.

Observers of `interp.heads.attention.read_layers`: they read values in the shared forward passes
and keep a few numbers a sequence and head.
"""
