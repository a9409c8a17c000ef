"""Figures of findings: a function takes a finding and returns a figure or a piece of HTML.

Nothing here computes a result, opens a window or loads torch. Every text from a model or a file is
escaped, every diverging scale is centred on zero or on chance, and intervals are drawn.

    from interp.evaluation.comparison import Comparison
    from interp.plots.ability import transfer_figure
    figure = transfer_figure(Comparison.load(path))
"""
