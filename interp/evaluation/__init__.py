"""Asking models the same questions, and saying what the answers support.

An item is a prompt with its answer; a protocol says how it is asked and what counts as right.
`evaluate` gives accuracy by task and language with every answer kept, `compare` the table of
several models with intervals and paired tests. The results, `Evaluation` and `Comparison`, open
without torch.

    from interp.evaluation.evaluate import evaluate
    table = evaluate(["polyglot", "polyglot/ability"], [Path("test.jsonl")])
    table.save(Path("evaluation"))
    print(table.text_table())
"""
