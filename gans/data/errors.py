"""The error that every reader of data raises for the user."""

from pathlib import Path


class DataError(Exception):
    """A data file or folder cannot be used.

    The message is one sentence that names the file, says what is wrong and what to do about it.
    Commands print it without a traceback and exit with status 1.
    """


def write_error(path: Path, error: OSError) -> DataError:
    """The DataError for an OSError raised while writing `path`."""
    return DataError(f"{path} cannot be written ({error.strerror or error}); check the free space and the permissions.")


def printable(text: str) -> str:
    """`text` from elsewhere, with its control characters escaped: they could command the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
