"""Interventions: what a model computes when one of its sites is replaced while it runs."""
