"""Perturbation: what a model can no longer do once a group of its neurons is disturbed."""
