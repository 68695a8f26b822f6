"""The precisions in which networks are compared, as torch and as the kernels take them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Precision:
    """How a network is computed.

    Attributes:
        name: In tables.
        dtype: Of activations.
        tf32: Whether torch may round float32 to TF32.
        ours: Precision of our float32 products.
        tolerance: Largest accepted difference to a float32 result, by its largest value.
    """

    name: str
    dtype: str
    tf32: bool
    ours: str
    tolerance: float


PRECISIONS = (
    Precision("float32", "float32", False, "tf32x3", 1e-4),
    Precision("tf32", "float32", True, "tf32", 1e-2),
    Precision("float16", "float16", True, "ieee", 2e-2),
)


@contextlib.contextmanager
def torch_settings(precision: Precision) -> Iterator[None]:
    """Lets cuDNN and cuBLAS use TF32, or not; cuDNN tries its algorithms."""
    import torch

    before = (
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.benchmark,
    )
    torch.backends.cudnn.allow_tf32 = precision.tf32
    torch.backends.cuda.matmul.allow_tf32 = precision.tf32
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        (
            torch.backends.cudnn.allow_tf32,
            torch.backends.cuda.matmul.allow_tf32,
            torch.backends.cudnn.benchmark,
        ) = before
