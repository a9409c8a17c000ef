"""Training with a mask: the chosen entries move, every other bit stays."""
