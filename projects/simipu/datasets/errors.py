"""The error for data that cannot be used."""


class DataError(ValueError):
    """A file or field of the data set is missing or wrong.

    The message names the file and the field, what was expected, what was found, and what to do, so
    that command lines may print it alone, without a traceback.
    """
