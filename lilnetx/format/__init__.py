"""The ``.lnx`` file: one network in one small, checked file. SPEC.md in this folder is the text.

Names are loaded on first use, because reading and writing need the C++ extension.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lilnetx.format.inspect import FileSummary, LayerSummary, inspect_lnx
    from lilnetx.format.reader import read_lnx, verify_lnx
    from lilnetx.format.writer import write_lnx

_PUBLIC = {
    "FileSummary": "lilnetx.format.inspect",
    "LayerSummary": "lilnetx.format.inspect",
    "inspect_lnx": "lilnetx.format.inspect",
    "read_lnx": "lilnetx.format.reader",
    "verify_lnx": "lilnetx.format.reader",
    "write_lnx": "lilnetx.format.writer",
}

__all__ = ["FileSummary", "LayerSummary", "inspect_lnx", "read_lnx", "verify_lnx", "write_lnx"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'lilnetx.format' has no attribute {name!r}")
