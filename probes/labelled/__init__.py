"""Labelled functions: texts with a label that one can ask neurons, features and probes for.

The kinds are the published ones (2305.18390): word senses, facts true or swapped, tasks; beside
them classes of tokens. Everything is made offline from small lists and grammars, the same for the
same seed; no lexical item is on both sides of a split; and what the bag of words alone tells is
reported beside each.

    from probes.labelled import generators, leaks
    lines = generators()["semantic"].make(0, 200, None)
    leaks(lines)[0].accuracy
"""

from probes.labelled.generators import generators
from probes.labelled.leak import Leak, leaks
from probes.labelled.line import LabelledLine, TokenLine, write_lines

__all__ = ["LabelledLine", "Leak", "TokenLine", "generators", "leaks", "write_lines"]
