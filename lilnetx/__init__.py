"""LilNetX: train a CNN once, get one small ``.lnx`` file, run it fast.

Importing this package loads neither torch nor Triton; each public name is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lilnetx.errors import LilnetxError
    from lilnetx.format import read_lnx, write_lnx
    from lilnetx.graph.ir import Graph
    from lilnetx.nn import SparseConv2d, sparsify
    from lilnetx.packing.pack import pack
    from lilnetx.runtime import Session
    from lilnetx.train import CompressionHandle, Objective, compress

# Public name -> module that defines it.
_PUBLIC = {
    "CompressionHandle": "lilnetx.train",
    "Graph": "lilnetx.graph.ir",
    "LilnetxError": "lilnetx.errors",
    "Objective": "lilnetx.train",
    "Session": "lilnetx.runtime",
    "SparseConv2d": "lilnetx.nn",
    "compress": "lilnetx.train",
    "pack": "lilnetx.packing",
    "read_lnx": "lilnetx.format",
    "sparsify": "lilnetx.nn",
    "write_lnx": "lilnetx.format",
}

__all__ = [
    "CompressionHandle",
    "Graph",
    "LilnetxError",
    "Objective",
    "Session",
    "SparseConv2d",
    "__version__",
    "compress",
    "pack",
    "read_lnx",
    "sparsify",
    "write_lnx",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'lilnetx' has no attribute {name!r}")
