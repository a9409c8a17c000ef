"""Sparse dictionaries: features learnt from a store, measured against baselines, and read.

A dictionary is a sae-lens object throughout. What is added here is the way from an
`ActivationStore` to a trained one, the sparse arithmetic that makes training quick, the evaluation
beside its null models, and the views that say what a feature stands for.
"""
