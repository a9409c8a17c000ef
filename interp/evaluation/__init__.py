"""Asking models the same questions, and saying what the answers support.

An item is a prompt with its answer; `scoring` gives right or wrong per item, `compare` makes the
table of several models with intervals and paired tests. A `Comparison` opens without torch.

    from interp.evaluation.comparison import Comparison
    table = Comparison.load(path)
    print(table.text_table())
    print(table.cell("transfer", "target"))
"""
