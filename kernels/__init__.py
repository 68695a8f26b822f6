"""GPU kernels in Triton, with their checked launchers; torch and Triton load on first use.

Import the launchers from here. What plans them (:mod:`.plan`, :mod:`.cost` and what they use) is
plain Python and needs neither.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from lilnetx.errors import MissingExtraError, TritonNotInstalledError

if TYPE_CHECKING:
    from .gathered_launch import gathered_conv
    from .gathered_slices import GatheredSlices, gather_slices
    from .sparse_conv import SparseConv
    from .union_launch import union_conv
    from .union_layout import UnionWeights, union_weights

# Public name -> file that defines it.
_PUBLIC = {
    "GatheredSlices": "gathered_slices",
    "SparseConv": "sparse_conv",
    "UnionWeights": "union_layout",
    "gather_slices": "gathered_slices",
    "gathered_conv": "gathered_launch",
    "union_conv": "union_launch",
    "union_weights": "union_layout",
}

__all__ = [
    "GatheredSlices",
    "SparseConv",
    "UnionWeights",
    "gather_slices",
    "gathered_conv",
    "union_conv",
    "union_weights",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_triton()
    value = getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def require_triton() -> None:
    """MissingExtraError where torch is not installed, TritonNotInstalledError without Triton."""
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("torch", "triton", "the Triton kernels")
    if importlib.util.find_spec("triton") is None:
        raise TritonNotInstalledError("the Triton kernels")
