"""Layers: which ones see the same, what is lost without each, and a model made of fewer.

CRaSh (arXiv 2310.15477) clusters neighbouring layers by the similarity of what they hand on, keeps
the centre of each cluster and lets it run in the place of those removed. Here similarity is counted
without the bias of small samples, and everything stands beside what chance gives.

    from interp.modules.layers.run import analyse_layers
    found = analyse_layers("polyglot", "text.jsonl", n_clusters=3)
    found.save("layers")
"""

from interp.modules.layers.analysis import LayerAnalysis, Line, Removal, Shortened

__all__ = ["LayerAnalysis", "Line", "Removal", "Shortened"]
