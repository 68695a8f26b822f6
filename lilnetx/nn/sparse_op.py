"""The operator ``lilnetx::sparse_conv2d``: a convolution with packed slices that torch can follow.

``torch.compile`` and ``torch.export`` see one node; autocast turns its input into the lower
precision and leaves the slices in float32. On the CPU the C++ runtime computes it, on a GPU Triton
does. It has no derivative: :class:`~lilnetx.nn.SparseConv2d` takes torch's convolution where one is
asked for.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from lilnetx.backends.device import open_device
from lilnetx.errors import DeviceError, InputError, MissingExtraError
from lilnetx.graph.ir import Conv2d, DenseWeight, Graph, Node
from lilnetx.graph.shapes import conv_output
from lilnetx.runtime.session import Session

if TYPE_CHECKING:
    from lilnetx.kernels import SparseConv

NAME = "lilnetx::sparse_conv2d"
# Plans of the CPU runtime that are kept at once, over all layers and input sizes.
_KEPT_PLANS = 256

_lock = threading.Lock()
_sessions: dict[tuple[object, ...], tuple[list[NDArray[Any]], Session]] = {}
_layers: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


@torch.library.custom_op(NAME, mutates_args=(), device_types="cpu")
def sparse_conv2d(
    input: Tensor,
    filter_ptr: Tensor,
    channel: Tensor,
    values: Tensor,
    bias: Tensor | None,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """Convolution with the slices of a weight that are not zero.

    Args:
        input: float32, float16 or bfloat16, shape ``(N, C, H, W)``.
        filter_ptr: int32, shape ``(F + 1,)``: the slices of filter f are ``filter_ptr[f]`` up to
            ``filter_ptr[f + 1]``.
        channel: int32, shape ``(slices,)``: input channel of each slice, counted over all groups.
        values: Shape ``(slices, Kh * Kw)``, computed with in float32 on the CPU and in form (a).
        bias: Shape ``(F,)``, or None.
        kernel_size: ``[Kh, Kw]``.
        stride: Vertical and horizontal, in pixels.
        padding: Zeros at top and bottom, left and right, in pixels.
        dilation: Distance of taps, in pixels.
        groups: Groups of the convolution.

    Returns:
        The dtype of ``input``, shape ``(N, F, Ho, Wo)``, channels-last where the input is.

    Raises:
        InputError: Shapes or dtypes do not fit each other.
    """
    arrays = [t.detach().cpu().contiguous().numpy() for t in (filter_ptr, channel)]
    arrays += [t.detach().float().contiguous().numpy() for t in (values, bias) if t is not None]
    windows = (tuple(kernel_size), tuple(stride), tuple(padding), tuple(dilation))
    _output_shape(input, filter_ptr, *windows)
    key = (tuple(input.shape[1:]), *windows, groups, torch.get_num_threads())
    with _lock:
        session = _session(key, arrays)
    result = session.run(input.detach().float().contiguous().numpy())
    assert not isinstance(result, tuple)
    return torch.from_numpy(result).to(input.dtype).contiguous(memory_format=_format(input))


@sparse_conv2d.register_fake
def _(  # type: ignore[no-untyped-def]
    input, filter_ptr, channel, values, bias, kernel_size, stride, padding, dilation, groups
):
    shape = _output_shape(input, filter_ptr, kernel_size, stride, padding, dilation)
    return torch.empty(shape, dtype=input.dtype, device=input.device, memory_format=_format(input))


@sparse_conv2d.register_kernel("cuda")
def by_triton(  # type: ignore[no-untyped-def]
    input, filter_ptr, channel, values, bias, kernel_size, stride, padding, dilation, groups
):
    """The same by Triton's kernels, with a plan kept for as long as ``values`` lives.

    Raises:
        TritonNotInstalledError: Triton is not installed.
    """
    windows = (tuple(kernel_size), tuple(stride), tuple(padding), tuple(dilation))
    layer = _layer((filter_ptr, channel, values, bias), input.shape[1], windows, groups)
    return layer(input).contiguous(memory_format=_format(input))


@cache
def runs_on_gpu() -> bool:
    """Whether the operator can run on this machine's GPU: there is one, new enough, and Triton."""
    try:
        return open_device("triton").type == "cuda"
    except (DeviceError, MissingExtraError):
        return False


def _autocast(key: str, device_type: str) -> None:
    """Lets autocast convert the input alone, into the precision that it is entered with."""
    keys = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, key))

    def cast(_: object, input: Tensor, *rest: Any) -> Tensor:
        with torch._C._ExcludeDispatchKeyGuard(keys):
            lower = input.to(torch.get_autocast_dtype(device_type))
            result: Tensor = torch.ops.lilnetx.sparse_conv2d(lower, *rest)
            return result

    _library.impl("sparse_conv2d", cast, key, with_keyset=True)  # type: ignore[no-untyped-call]


_library = torch.library.Library("lilnetx", "FRAGMENT")  # type: ignore[no-untyped-call]
_autocast("AutocastCPU", "cpu")
_autocast("AutocastCUDA", "cuda")


def _output_shape(
    input: Tensor,
    filter_ptr: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> tuple[int, int, int, int]:
    if input.dim() != 4:
        raise InputError(f"input has {input.dim()} dimensions, expected (N, C, H, W)")
    height, width = (
        conv_output(input.shape[2 + i], kernel[i], stride[i], padding[i], dilation[i])
        for i in (0, 1)
    )
    if height < 1 or width < 1:
        raise InputError(f"the kernel leaves no pixel of an input of {tuple(input.shape)}")
    return input.shape[0], filter_ptr.shape[0] - 1, height, width


def _format(input: Tensor) -> torch.memory_format:
    last = torch.channels_last
    plain = input.is_contiguous() or not input.is_contiguous(memory_format=last)
    return torch.contiguous_format if plain else last


def _session(key: tuple[Any, ...], arrays: list[NDArray[Any]]) -> Session:
    """The plan for one input size, of slices that are the same bit for bit."""
    # Two layers of one shape differ in their slices, which a sum of them tells quickly.
    key = (*key, *(zlib.crc32(array.data) for array in arrays))
    found = _sessions.pop(key, None)
    if found is None or not same_bits(found[0], arrays):
        while len(_sessions) >= _KEPT_PLANS:
            del _sessions[next(iter(_sessions))]
        found = ([array.copy() for array in arrays], _make_session(key, arrays))
    _sessions[key] = found  # the last used one is the last to go
    return found[1]


def _make_session(key: tuple[Any, ...], arrays: list[NDArray[Any]]) -> Session:
    shape, kernel, stride, padding, dilation, groups, threads, *_ = key
    filter_ptr, channel, values, *bias = arrays
    filters, per_group = len(filter_ptr) - 1, shape[0] // groups
    weight = np.zeros((filters, per_group, *kernel), np.float32)
    row = np.repeat(np.arange(filters), np.diff(filter_ptr))
    weight[row, channel % max(per_group, 1)] = values.reshape(-1, *kernel)
    op = Conv2d(shape[0], filters, kernel, stride, padding, dilation, groups)
    node = Node("conv", op, ("input",), DenseWeight(weight), None, bias[0] if bias else None)
    return Session(Graph("input", shape, (node,), ("conv",)), threads=threads)


def _layer(
    tensors: tuple[Tensor, Tensor, Tensor, Tensor | None],
    channels: int,
    windows: tuple[tuple[int, ...], ...],
    groups: int,
) -> SparseConv:
    """The layer of these tensors; planned again when one of them was written to or replaced."""
    from lilnetx.kernels import GatheredSlices, SparseConv

    filter_ptr, channel, values, bias = tensors
    state = (
        *((t.data_ptr(), _version(t)) for t in tensors if t is not None),
        channels,
        windows,
        groups,
    )
    with _lock:
        found = _layers.get(values)  # type: ignore[no-untyped-call]
        if found is None or found[0] != state:
            kernel, stride, padding, dilation = windows
            slices = GatheredSlices(
                filter_ptr,
                channel,
                # Another tensor of the same memory: a layer that held its own key would never go.
                values.detach().float(),
                kernel,
                1,
                channels,
                groups,
            )
            layer = SparseConv(
                slices,
                None if bias is None else bias.float(),
                stride=stride,
                padding=padding,
                dilation=dilation,
            )
            found = _layers[values] = (state, layer)
        known: SparseConv = found[1]
        return known


def _version(tensor: Tensor) -> int:
    """How often a tensor was written to; those of inference mode do not count that."""
    return -1 if tensor.is_inference() else tensor._version


def same_bits(one: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]]) -> bool:
    """Whether arrays of 32-bit values are the same, NaNs and signs of zeros included."""
    return len(one) == len(other) and all(
        # As integers, numpy compares some three times as fast as torch.equal does.
        np.array_equal(a.view(np.int32), b.view(np.int32))
        for a, b in zip(one, other, strict=True)
    )


__all__ = ["NAME", "by_triton", "runs_on_gpu", "same_bits", "sparse_conv2d"]
