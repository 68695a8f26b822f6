"""Sparse convolutions as torch modules."""

try:
    import torch  # noqa: F401
except ImportError:
    from lilnetx.errors import MissingExtraError

    raise MissingExtraError("torch", "train", "lilnetx.nn") from None

from lilnetx.nn.sparse_conv2d import SparseConv2d
from lilnetx.nn.swap import pack_slices, sparsify

__all__ = ["SparseConv2d", "pack_slices", "sparsify"]
