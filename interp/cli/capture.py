"""`interp capture`."""


def capture() -> None:
    """(capture.)"""
