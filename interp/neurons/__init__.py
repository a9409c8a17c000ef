"""Neurons: what each of them detects beside its null, how sparse they are, which fire together."""
