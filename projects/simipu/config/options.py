"""Types of command line options, whose values are checked when they are read."""
from argparse import ArgumentTypeError
from collections.abc import Callable


def whole_number(at_least: int, at_most: int = 2**31 - 1) -> Callable[[str], int]:
    """A ``type`` of argparse: whole numbers within limits, 0 to 2^31 - 1 being what libraries below take."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = at_least - 1
        if not at_least <= number <= at_most:
            limit = f'of at least {at_least}' if number < at_least else f'of at most {at_most}'
            raise ArgumentTypeError(f'expected a whole number {limit}, found {text!r}')
        return number

    return read


def share(text: str) -> float:
    """A ``type`` of argparse: a part of a whole, above 0 and up to 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.
    if not 0 < value <= 1:
        raise ArgumentTypeError(f'expected a share above 0 and up to 1, such as 0.1, found {text!r}')
    return value


SEED = whole_number(0, 2**32 - 1)  # NumPy's
PROCESSES = whole_number(1, 1024)
