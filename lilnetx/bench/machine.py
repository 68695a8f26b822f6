"""Facts about the machine that stand beside every timing."""

from __future__ import annotations

import importlib.metadata
import os
import platform

from lilnetx.machine import cpu_model

_PACKAGES = ("lilnetx", "numpy", "torch", "onnxruntime", "openvino")


def describe_machine() -> dict[str, object]:
    """Processor model, cores that this process may use, and operating system."""
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that take part, without importing them."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
