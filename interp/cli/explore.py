"""`interp explore`."""


def explore() -> None:
    """(explore.)"""
