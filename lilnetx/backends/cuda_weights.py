"""A layer's weights on the device, as the extension's CUDA kernels read them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lilnetx import _core
from lilnetx.backends.cuda_errors import ask
from lilnetx.graph.ir import Conv2d
from lilnetx.runtime.packed import PackedSlices

# How form (b) multiplies, by the activations' dtype; float32 keeps its accuracy.
PRECISIONS = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}


@dataclass(frozen=True)
class Lists:
    """Form (a): the packed slices as they are."""

    filter_ptr: Tensor
    channel: Tensor
    values: Tensor
    order: Tensor


@dataclass(frozen=True)
class Blocks:
    """Form (b): blocks of filters with their matrices."""

    order: Tensor
    block_ptr: Tensor
    channel: Tensor
    fragments: Tensor


class CudaWeights:
    """The weights of both forms.

    Args:
        name: Names the layer in messages.
        op: The convolution.
        slices: Its slices.
        device: The GPU.

    Attributes:
        lists: Form (a).
        blocks: Blocks of form (b).
        union_channels: Their channels, all blocks together.

    Raises:
        InputError: The layer has a size beyond what the kernels take.
        DeviceError: CUDA refused.
    """

    def __init__(self, name: str, op: Conv2d, slices: PackedSlices, device: torch.device) -> None:
        self._name = name
        self._op = op
        self._slice_channels = slices.shape.channels_per_slice
        filter_ptr = slices.filter_ptr.astype(np.uint32)
        channel = slices.channel.astype(np.uint32)
        pointers = _to(filter_ptr, device)
        self.lists = Lists(
            pointers,
            _to(channel, device),
            self._upload_values(slices, pointers),
            _to(_core.longest_first(filter_ptr), device),
        )
        self._plan = _core.filter_blocks(slices.shape.as_tuple(), filter_ptr, channel)
        self.blocks = len(self._plan[2]) - 1
        self.union_channels = len(self._plan[3])
        self._arranged: dict[torch.dtype, Blocks] = {}

    def arranged(self, dtype: torch.dtype) -> Blocks:
        """Form (b), whose matrices are made on the device at the first use of a dtype."""
        if dtype in self._arranged:
            return self._arranged[dtype]
        op, precision = self._op, PRECISIONS[dtype]
        order, position, block_ptr, channel, slot = self._plan
        device = self.lists.values.device
        taps = op.kernel[0] * op.kernel[1]
        size = _core.cuda_fragment_bytes(precision, len(channel), taps)
        fragments = torch.zeros(max(size, 16), dtype=torch.uint8, device=device)
        places = [_to(array, device) for array in (position, slot, block_ptr)]
        ask(
            self._name,
            _core.cuda_arrange,
            precision=precision,
            filters=op.out_channels,
            channels=op.in_channels,
            groups=op.groups,
            taps=taps,
            slice_channels=self._slice_channels,
            filter_ptr=self.lists.filter_ptr.data_ptr(),
            channel=self.lists.channel.data_ptr(),
            values=self.lists.values.data_ptr(),
            position=places[0].data_ptr(),
            slot=places[1].data_ptr(),
            block_ptr=places[2].data_ptr(),
            fragments=fragments.data_ptr(),
            stream=stream_of(device),
        )
        found = Blocks(_to(order, device), places[2], _to(channel, device), fragments)
        self._arranged[dtype] = found
        return found

    def _upload_values(self, slices: PackedSlices, filter_ptr: Tensor) -> Tensor:
        """The slices' weights as float32 on the device, to which integers go where there are some.

        Args:
            slices: The weights.
            filter_ptr: Their pointers, on the device.

        Returns:
            All values, then zeros up to a multiple of 4: the kernels read 16 bytes at a time.
        """
        device, size = filter_ptr.device, slices.values.size
        values = torch.zeros(-(-size // 4) * 4, dtype=torch.float32, device=device)
        packed, scale = slices.source or (None, None)
        integers = None if packed is None else packed.integers()
        if integers is None:
            values[:size] = torch.from_numpy(slices.values.reshape(-1)).to(device)
            return values
        latents, matrix, exponent = integers
        read = [torch.from_numpy(array).to(device) for array in (latents, matrix)]
        factors = None if scale is None else torch.from_numpy(scale).to(device)
        ask(
            self._name,
            _core.cuda_decode,
            filters=slices.shape.filters,
            length=slices.shape.length,
            filter_ptr=filter_ptr.data_ptr(),
            latents=read[0].data_ptr(),
            matrix=read[1].data_ptr(),
            exponent=exponent,
            scale=0 if factors is None else factors.data_ptr(),
            values=values.data_ptr(),
            stream=stream_of(device),
        )
        return values


def stream_of(device: torch.device) -> int:
    """The current stream, as the extension takes it."""
    return torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0


def _to(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """A copy on the device; unsigned integers keep their bits."""
    return torch.from_numpy(array.view(np.int32).copy()).to(device)


__all__ = ["PRECISIONS", "Blocks", "CudaWeights", "Lists", "stream_of"]
