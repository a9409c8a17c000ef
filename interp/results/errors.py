"""InterpError and its children: what a user can put right, in one line each."""


class InterpError(Exception):
    """Something the user can put right: what was wrong, what was expected, what to do.

    The command line prints the message alone and exits with `exit_code`; any other exception is
    a bug of ours and keeps its traceback.
    """

    exit_code = 2


class BadInput(InterpError):
    """An argument or the content of a file is not what it must be."""


class Mismatch(InterpError):
    """Two things that do not belong together: a store and another model, a delta and its base."""


class Unsupported(InterpError):
    """A model, site or file kind that we do not handle; refused by name before any work."""


class CorruptFile(InterpError):
    """A file of ours (or a foreign one) is truncated, altered or not what its name says."""


class Incomplete(InterpError):
    """The work stopped part way, nothing committed was lost, and the same command goes on."""

    exit_code = 3
