"""Heads: what each attention head does, by detectors that share their forward passes."""
