"""The ``.lnx`` file: one network in one small, checked file. SPEC.md in this folder is the text.

Names are loaded on first use, because reading and writing need the C++ extension.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lilnetx.format.diff import FileDiff, WeightDiff, diff_lnx
    from lilnetx.format.inspect import FileSummary, LayerSummary, inspect_lnx
    from lilnetx.format.reader import read_lnx, verify_lnx
    from lilnetx.format.shares import LayerBytes, layer_bytes
    from lilnetx.format.writer import write_lnx

_PUBLIC = {
    "FileDiff": "lilnetx.format.diff",
    "FileSummary": "lilnetx.format.inspect",
    "LayerBytes": "lilnetx.format.shares",
    "LayerSummary": "lilnetx.format.inspect",
    "WeightDiff": "lilnetx.format.diff",
    "diff_lnx": "lilnetx.format.diff",
    "inspect_lnx": "lilnetx.format.inspect",
    "layer_bytes": "lilnetx.format.shares",
    "read_lnx": "lilnetx.format.reader",
    "verify_lnx": "lilnetx.format.reader",
    "write_lnx": "lilnetx.format.writer",
}

__all__ = [
    "FileDiff",
    "FileSummary",
    "LayerBytes",
    "LayerSummary",
    "WeightDiff",
    "diff_lnx",
    "inspect_lnx",
    "layer_bytes",
    "read_lnx",
    "verify_lnx",
    "write_lnx",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'lilnetx.format' has no attribute {name!r}")
