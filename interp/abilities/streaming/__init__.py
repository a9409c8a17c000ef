"""Weights at rest, in pieces: read, ranked and written in memory that does not grow with them.

A tensor is cut into chunks; side threads read, compute and write one chunk each, so disk and
processor work at once. What is written can be killed and goes on where it stopped.

    with Checkpoint(Path("models/base")) as base:
        for chunk in base.chunks():
            words = base.words(chunk)
"""
