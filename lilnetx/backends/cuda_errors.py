"""Calls of the extension's CUDA functions, whose errors become those of lilnetx."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from lilnetx.errors import DeviceError, InputError

P = ParamSpec("P")
T = TypeVar("T")


def ask(what: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a function of the extension returns.

    Args:
        what: What it is called for, as a message names it.
        function: The function.
        *args: What it is called with.
        **kwargs: The same, by name.

    Raises:
        InputError: A size is beyond what the kernels are written for.
        DeviceError: CUDA refused, or the extension has no CUDA.
    """
    try:
        return function(*args, **kwargs)
    except ValueError as error:
        raise InputError(
            f"device='cuda' cannot do {what}: {error}; use a smaller batch or another device"
        ) from error
    except RuntimeError as error:
        raise DeviceError(
            f"device='cuda' failed at {what}: {error}; look at the GPU with nvidia-smi, or use "
            "another device"
        ) from error


__all__ = ["ask"]
