"""Units: neurons, heads, layers and tensors as exact sets of entries, in every layout we know."""
