"""Compilation by numba, on machines where nothing can be written, too."""
from collections.abc import Callable
from functools import partial

import numba


def njit(function: Callable | None = None, **options) -> Callable:
    """``numba.njit`` that keeps the machine code on disk where that is possible.

    numba refuses ``cache=True`` where neither the package nor the user's cache folder is writable, as in a
    read-only container without a home. The function is then compiled anew in each process; let
    ``NUMBA_CACHE_DIR`` name a writable folder to avoid that.

    Args:
        function: What to compile; without it, a decorator is returned.
        options: Of ``numba.njit``, such as ``parallel=True``.
    """
    if function is None:
        return partial(njit, **options)
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)
