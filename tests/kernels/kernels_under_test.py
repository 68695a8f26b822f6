"""The kernels package, as installed (``lilnetx.kernels``) or from the source tree."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def load():
    try:
        return importlib.import_module("lilnetx.kernels")
    except ModuleNotFoundError:
        sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
        return importlib.import_module("kernels")
