"""The one error that every reader of data raises for the user."""


class DataError(Exception):
    """A data file or folder cannot be used.

    The message is one clear sentence for the user, naming the file, what is wrong and what to do;
    the command line prints it as it is and exits non-zero.
    """
