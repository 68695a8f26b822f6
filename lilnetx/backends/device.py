"""Opening a device, and saying exactly why where that is not possible."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

from lilnetx import _core
from lilnetx.backends.cuda_errors import ask
from lilnetx.errors import (
    BuiltWithoutCudaError,
    InputError,
    MissingExtraError,
    NoDeviceError,
    TritonNotInstalledError,
    UnsupportedArchitectureError,
)

if TYPE_CHECKING:
    import torch

DEVICES = ("cpu", "cuda", "triton")
# Oldest compute capability that the kernels are written for.
OLDEST = (8, 0)


def open_device(name: str) -> torch.device:
    """The torch device on which a backend runs.

    Args:
        name: ``"triton"`` or ``"cuda"``.

    Returns:
        The current GPU; the CPU for Triton under its interpreter (``TRITON_INTERPRET=1``).

    Raises:
        InputError: The name is unknown.
        MissingExtraError: torch is not installed.
        TritonNotInstalledError: Triton is not installed.
        BuiltWithoutCudaError: This lilnetx, or torch, was built without CUDA.
        NoDeviceError: The driver shows no GPU.
        UnsupportedArchitectureError: The GPU is too old.
        DeviceError: CUDA refused to say what there is.
    """
    if name not in DEVICES[1:]:
        raise InputError(f"device={name!r}: expected one of {', '.join(map(repr, DEVICES))}")
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("torch", "triton", f"device={name!r}")
    import torch

    if name == "triton":
        if importlib.util.find_spec("triton") is None:
            raise TritonNotInstalledError("device='triton'")
        if os.environ.get("TRITON_INTERPRET") == "1":
            return torch.device("cpu")
    else:
        _require_extension()
    if torch.version.cuda is None and torch.version.hip is None:
        raise BuiltWithoutCudaError(
            f"device={name!r}: this torch ({torch.__version__}) is built without CUDA; install one "
            "of its CUDA builds, or use device='cpu'"
        )
    if not torch.cuda.is_available():
        raise NoDeviceError(
            f"device={name!r}: no GPU can be used; check with nvidia-smi that there is one and "
            "that its driver works, or use device='cpu'"
        )
    if torch.version.hip is not None:
        raise UnsupportedArchitectureError(
            f"device={name!r}: {torch.cuda.get_device_name()} is AMD's, on which nothing of this "
            "has run yet; use device='cpu'"
        )
    found = torch.cuda.get_device_capability()
    if found < OLDEST:
        raise UnsupportedArchitectureError(
            f"device={name!r}: {torch.cuda.get_device_name()} has compute capability "
            f"{found[0]}.{found[1]}, the kernels need {OLDEST[0]}.{OLDEST[1]} or newer; use "
            "device='cpu'"
        )
    return torch.device("cuda", torch.cuda.current_device())


def _require_extension() -> None:
    """Whether the extension's CUDA kernels can run, as they themselves see it."""
    status, detail = ask("finding a GPU", _core.cuda_status)
    text = f"device='cuda': {detail}"
    if status == "not built":
        raise BuiltWithoutCudaError(text)
    if status == "no device":
        raise NoDeviceError(text)
    if status == "unsupported architecture":
        raise UnsupportedArchitectureError(text)


__all__ = ["DEVICES", "OLDEST", "open_device"]
