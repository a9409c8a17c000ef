"""`interp demo`."""


def demo() -> None:
    """(demo.)"""
