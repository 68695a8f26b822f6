"""Types of the C++ extension."""

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

# Codec.

def crc32c(data: bytes | memoryview, crc: int = 0) -> int: ...
def encode_latents(
    latents: Sequence[NDArray[np.int32]],
    models: Sequence[int],
    nonzero: Sequence[int],
) -> bytes: ...
def decode_latents(
    data: bytes | memoryview,
    streams: Sequence[tuple[int, int]],
    out: Sequence[NDArray[np.int32]],
    models: Sequence[int],
    nonzero: Sequence[int],
    threads: int,
) -> list[str | None]: ...
def encode_ints(
    vectors: Sequence[NDArray[np.int32]],
    kinds: Sequence[int],
    live: Sequence[NDArray[np.uint8] | None],
) -> bytes: ...
def decode_ints(
    data: bytes | memoryview,
    out: Sequence[NDArray[np.int32]],
    kinds: Sequence[int],
    live: Sequence[NDArray[np.uint8] | None],
) -> str | None: ...
def live_filters(latents: NDArray[np.int32]) -> NDArray[np.uint8]: ...

# The machine's roofs (csrc/bindings/peak.cpp).

def measure_fma_gflops(isa: str, seconds: float) -> float: ...
def measure_load_gbs(isa: str, bytes: int, seconds: float) -> float: ...

# --- CPU runtime (csrc/bindings/runtime.cpp) ------------------------------------------------------

# offset, channels, height, width, row_stride, channel_stride
_Image = tuple[int, int, int, int, int, int]
# kernel, stride, padding, dilation; height before width
_Window = tuple[int, int, int, int, int, int, int, int]
# filters, slices, length, channels_per_slice, groups, channels
_SliceShape = tuple[int, int, int, int, int, int]

class IsaTraits(TypedDict):
    lanes: int
    flat_tile: int
    flat_tile_blocked: int
    filter_block: int
    rows_tile: int
    rows_max: int
    row_vectors_max: int

def available_isas() -> list[str]: ...
def isa_traits(isa: str) -> IsaTraits: ...
def pack_latents(
    latents: NDArray[np.int32],
    matrix: NDArray[np.int32],
    exponent: int,
    scale: NDArray[np.float32] | None,
    channels_per_slice: int,
    groups: int,
    channels: int,
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.float32]]: ...
def pack_dense(
    weights: NDArray[np.float32],
    scale: NDArray[np.float32] | None,
    channels_per_slice: int,
    groups: int,
    channels: int,
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.float32]]: ...

class Network:
    def __init__(self, isa: str, threads: int, arena_floats: int) -> None: ...
    def add_input(self, to: _Image, /) -> None: ...
    def add_conv(
        self,
        *,
        input: _Image,
        output: _Image,
        window: _Window,
        kernel: str,
        staged: bool,
        block_channels: int,
        tile_rows: int,
        tile: int,
        activation: str,
        residual: _Image | None,
        bias: NDArray[np.float32],
        slice_shape: _SliceShape,
        filter_ptr: NDArray[np.uint32],
        channel: NDArray[Any],
        values: NDArray[np.float32],
    ) -> None: ...
    def add_pool(
        self,
        *,
        input: _Image,
        output: _Image,
        window: _Window,
        average: bool,
        count_include_pad: bool,
    ) -> None: ...
    def add_global_average(self, input: _Image, output: _Image, /) -> None: ...
    def add_elementwise(
        self, a: _Image, b: _Image | None, output: _Image, activation: str
    ) -> None: ...
    def add_flatten(self, input: _Image, output: _Image, /) -> None: ...
    def add_linear(
        self,
        *,
        input: _Image,
        output: _Image,
        slice_shape: _SliceShape,
        filter_ptr: NDArray[np.uint32],
        channel: NDArray[Any],
        values: NDArray[np.float32],
        bias: NDArray[np.float32],
        activation: str,
        dense: bool,
    ) -> None: ...
    def add_softmax(self, input: _Image, output: _Image, /) -> None: ...
    def add_output(self, from_: _Image, /) -> None: ...
    def prepare(self) -> None: ...
    def run(self, x: NDArray[np.float32]) -> list[NDArray[np.float32]]: ...
    def profile(self, x: NDArray[np.float32], repeats: int) -> NDArray[np.float64]: ...

# --- end of the CPU runtime -----------------------------------------------------------------------
