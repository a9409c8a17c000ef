"""Emergence: when heads form over training, and whether in-context learning comes with them."""
