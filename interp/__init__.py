"""interp: a mechanistic interpretability toolkit."""
