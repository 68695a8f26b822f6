"""The kernels package, as installed (``lilnetx.kernels``) or from the source tree."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path


def load():
    """``lilnetx.kernels``; beside a source tree that is not installed, the tree's own."""
    try:
        return importlib.import_module("lilnetx.kernels")
    except ModuleNotFoundError:
        folder = Path(__file__).resolve().parents[1] / "kernels"
        spec = importlib.util.spec_from_file_location(
            "lilnetx.kernels", folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules["lilnetx.kernels"] = module
        spec.loader.exec_module(module)
        return module


def submodule(name):
    load()
    return importlib.import_module(f"lilnetx.kernels.{name}")
