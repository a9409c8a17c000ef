"""Figures of attention heads: their scores, their cause, their growth over training.

Every function takes a finding and returns a figure; `pages` gathers those of one finding.

    from interp.plots.heads.scores import score_map
    score_map(scores, "prefix_matching").show()
"""
