"""Where a run's network and images live."""

from __future__ import annotations

import os

import torch

from lilnetx.errors import UsageError

DEVICES = ("auto", "cpu", "cuda")


def training_device(name: str) -> torch.device:
    """The device of this process.

    Args:
        name: ``cpu``, ``cuda``, or ``auto`` for a GPU where there is one. Of several GPUs, each
            process that torchrun started gets its own.

    Raises:
        UsageError: No such device, or torch finds no GPU.
    """
    if name not in DEVICES:
        raise UsageError(f"device must be one of {', '.join(DEVICES)}, not {name!r}")
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise UsageError("device cuda: this torch finds no GPU; train with --device cpu")
    if name == "cpu" or not found:
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


__all__ = ["DEVICES", "training_device"]
