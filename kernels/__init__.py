"""GPU kernels in Triton, with their checked launchers; torch and Triton load on first use.

Import the launchers from here, not from the files that hold them.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from lilnetx.errors import MissingExtraError

if TYPE_CHECKING:
    from .gathered_conv import gathered_conv
    from .gathered_slices import GatheredSlices, gather_slices

# Public name -> file that defines it.
_PUBLIC = {
    "GatheredSlices": "gathered_slices",
    "gather_slices": "gathered_slices",
    "gathered_conv": "gathered_conv",
}

__all__ = ["GatheredSlices", "gather_slices", "gathered_conv"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for package in ("torch", "triton"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "triton", "the Triton kernels")
    value = getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value
