"""Arguments of a wrong type: one line that says what to pass, not an error from deep inside."""

from __future__ import annotations

import os
from numbers import Integral

from lilnetx.errors import InputError, LilnetxError

PATH = (str, os.PathLike)


def require_type(
    value: object, kinds: type | tuple[type, ...], error: type[LilnetxError], expected: str
) -> None:
    """Refuses a value that is of no type that it may have.

    Args:
        value: The argument.
        kinds: What it may be an instance of.
        error: The class of what is raised.
        expected: What to pass, for the message.
    """
    if not isinstance(value, kinds):
        raise error(f"found {type(value).__name__}, expected {expected}")


def is_whole(value: object, least: int) -> bool:
    """Whether it is a whole number, numpy's included, of at least so much."""
    return isinstance(value, Integral) and int(value) >= least


def require_threads(threads: object) -> None:
    """Refuses what is no number of threads; InputError."""
    if not is_whole(threads, 1):
        raise InputError(f"threads={threads!r}: expected a whole number, at least 1")


__all__ = ["PATH", "is_whole", "require_threads", "require_type"]
