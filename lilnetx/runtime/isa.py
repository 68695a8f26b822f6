"""Which instruction set the kernels use."""

from __future__ import annotations

import os

from lilnetx import _core
from lilnetx.errors import IsaError

ENVIRONMENT = "LILNETX_ISA"


def available_isas() -> list[str]:
    """Instruction sets that are built in and that this machine has, the best one first."""
    return _core.available_isas()


def choose_isa(name: str | None = None) -> str:
    """The instruction set to use: the argument, else ``LILNETX_ISA``, else the best one.

    Args:
        name: ``"avx512"``, ``"avx2"``, ``"neon"``, ``"portable"``, or None.

    Raises:
        IsaError: The one asked for is unknown, or this machine lacks it.
    """
    found = available_isas()
    source = "isa"
    if name is None:
        name = os.environ.get(ENVIRONMENT) or None
        source = ENVIRONMENT
    if name is None:
        return found[0]
    if name not in found:
        raise IsaError(
            f"{source}={name!r}: this machine has {', '.join(found)}; name one of them or none"
        )
    return name
