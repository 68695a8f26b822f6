"""Types of the C++ extension."""

from collections.abc import Sequence
from typing import TypedDict

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
def encode_text(data: bytes | memoryview) -> bytes: ...
def decode_text(data: bytes | memoryview, count: int) -> bytes | str: ...
def live_filters(latents: NDArray[np.int32]) -> NDArray[np.uint8]: ...

# --- Training (csrc/bindings/train.cpp) -----------------------------------------------------------

def sum_of_table(
    latents: NDArray[np.float32],
    table: NDArray[np.float32],
    *,
    cells: float,
    range: float,
    by_latents: NDArray[np.float32],
    by_table: NDArray[np.float32],
) -> float: ...

# --- Packed weights (csrc/bindings/weight.cpp) ----------------------------------------------------

# filters, slices, length, channels_per_slice, groups, channels
_SliceShape = tuple[int, int, int, int, int, int]

class PackedWeight:
    @property
    def shape(self) -> _SliceShape: ...
    @property
    def slices(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def integers(self) -> tuple[NDArray[np.int16], NDArray[np.int32], int] | None: ...
    def live_filters(self) -> NDArray[np.uint8]: ...
    def computed_weights(self, scale: NDArray[np.float32] | None) -> int: ...
    def unpack(
        self, scale: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.float32]]: ...
    def reads(
        self, filters: NDArray[np.bool_], scale: NDArray[np.float32] | None
    ) -> NDArray[np.uint8]: ...
    def fold(
        self, constants: NDArray[np.float64], scale: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8]]: ...
    def restrict(
        self, filters: NDArray[np.bool_], channels: NDArray[np.bool_], read: NDArray[np.bool_]
    ) -> PackedWeight: ...

def pack_latents(
    shape: _SliceShape, latents: NDArray[np.int32], matrix: NDArray[np.int32], exponent: int
) -> PackedWeight: ...
def pack_dense(shape: _SliceShape, weights: NDArray[np.float32]) -> PackedWeight: ...
def decode_packed(
    data: bytes | memoryview,
    streams: Sequence[tuple[int, int]],
    weights: Sequence[tuple[_SliceShape, int, int, int]],
    decoders: Sequence[tuple[NDArray[np.int32], int]],
    threads: int,
) -> tuple[list[PackedWeight], list[str | None]]: ...

# The machine's roofs (csrc/bindings/peak.cpp).

def measure_fma_gflops(isa: str, seconds: float) -> float: ...
def measure_load_gbs(isa: str, bytes: int, seconds: float) -> float: ...

# --- CPU runtime (csrc/bindings/runtime.cpp) ------------------------------------------------------

# offset, channels, height, width, row_stride, channel_stride
_Image = tuple[int, int, int, int, int, int]
# kernel, stride, padding, dilation; height before width
_Window = tuple[int, int, int, int, int, int, int, int]

# offset, shape..., strides...
_View = NDArray[np.int64]

class IsaTraits(TypedDict):
    lanes: int
    flat_tile: int
    flat_tile_blocked: int
    filter_block: int
    rows_tile: int
    rows_max: int
    row_vectors_max: int
    winograd_tile: int

def available_isas() -> list[str]: ...
def isa_traits(isa: str) -> IsaTraits: ...

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
        weight: PackedWeight,
        scale: NDArray[np.float32] | None,
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
        self,
        a: _Image,
        b: _Image | None,
        output: _Image,
        activation: str,
        parameters: NDArray[np.float32],
    ) -> None: ...
    def add_linear(
        self,
        *,
        input: _Image,
        output: _Image,
        weight: PackedWeight,
        scale: NDArray[np.float32] | None,
        bias: NDArray[np.float32],
        activation: str,
        dense: bool,
    ) -> None: ...
    def add_linear_rows(
        self,
        *,
        input: _View,
        output: _View,
        weight: PackedWeight,
        scale: NDArray[np.float32] | None,
        bias: NDArray[np.float32],
        activation: str,
        dense: bool,
    ) -> None: ...
    def add_conv_transpose(
        self,
        *,
        input: _Image,
        output: _Image,
        window: _Window,
        bias: NDArray[np.float32],
        weight: PackedWeight,
        scale: NDArray[np.float32] | None,
    ) -> None: ...
    def add_window_pool(
        self,
        input: _Image,
        output: _Image,
        average: bool,
        row_begin: NDArray[np.int32],
        row_end: NDArray[np.int32],
        row_count: NDArray[np.int32],
        row_step: int,
        column_begin: NDArray[np.int32],
        column_end: NDArray[np.int32],
        column_count: NDArray[np.int32],
        column_step: int,
        /,
    ) -> None: ...
    def add_blend(
        self,
        input: _Image,
        output: _Image,
        row_low: NDArray[np.int32],
        row_high: NDArray[np.int32],
        row_share: NDArray[np.float32],
        column_low: NDArray[np.int32],
        column_high: NDArray[np.int32],
        column_share: NDArray[np.float32],
        /,
    ) -> None: ...
    def add_constant(self, output: _Image, values: NDArray[np.float32], /) -> None: ...
    def add_binary(self, kind: str, a: _View, b: _View, output: _View, /) -> None: ...
    def add_affine(
        self,
        input: _View,
        output: _View,
        scale: NDArray[np.float32],
        shift: NDArray[np.float32],
        activation: str,
        /,
    ) -> None: ...
    def add_reduce(
        self, kind: str, mean: bool, last_is_kept: bool, kept: _View, reduced: _View, out: _View, /
    ) -> None: ...
    def add_softmax(self, input: _View, output: _View, axis: int, /) -> None: ...
    def add_matmul(self, a: _View, b: _View, output: _View, /) -> None: ...
    def add_rearrange(
        self,
        pieces: Sequence[tuple[int, NDArray[np.int64], _View]],
        fill: NDArray[np.float32],
        /,
    ) -> None: ...
    def add_reshape(self, input: _Image, output: _Image, /) -> None: ...
    def add_output(self, from_: _Image, /) -> None: ...
    def prepare(self) -> None: ...
    def weight_bytes(self) -> int: ...
    def arena_bytes(self) -> int: ...
    def run(self, inputs: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]: ...
    def profile(
        self, inputs: Sequence[NDArray[np.float32]], repeats: int
    ) -> NDArray[np.float64]: ...

# --- end of the CPU runtime -----------------------------------------------------------------------

# --- CUDA kernels (csrc/bindings/cuda.cpp) --------------------------------------------------------

# Device pointers and streams are integers; 0 is null.

cuda_built: bool

def cuda_status(device: int = 0) -> tuple[str, str]: ...
def filter_blocks(
    shape: _SliceShape,
    filter_ptr: NDArray[np.uint32],
    channel: NDArray[np.uint16] | NDArray[np.uint32],
) -> tuple[
    NDArray[np.uint32],
    NDArray[np.uint32],
    NDArray[np.uint32],
    NDArray[np.int32],
    NDArray[np.uint32],
]: ...
def longest_first(filter_ptr: NDArray[np.uint32]) -> NDArray[np.uint32]: ...

class CudaConv:
    def __init__(
        self,
        *,
        dtype: str,
        input_shape: tuple[int, int, int, int],
        filters: int,
        groups: int,
        window: tuple[int, int, int, int, int, int, int, int],
        input: int,
        input_strides: tuple[int, int, int],
        output: int,
        output_strides: tuple[int, int, int],
        residual: int,
        bias: int,
        activation: str,
        stream: int,
    ) -> None: ...

def cuda_conv_lists(
    conv: CudaConv,
    *,
    slices: int,
    slice_channels: int,
    filter_ptr: int,
    channel: int,
    values: int,
    order: int,
) -> None: ...
def cuda_conv_blocks(
    conv: CudaConv,
    *,
    precision: str,
    tile_runs: int,
    blocks: int,
    order: int,
    block_ptr: int,
    channel: int,
    fragments: int,
) -> None: ...
def cuda_blocks_fit(conv: CudaConv, precision: str) -> bool: ...
def cuda_blocks_tile(
    conv: CudaConv, *, precision: str, blocks: int, tile_runs: int, shared_limit: int
) -> tuple[int, int, int]: ...
def cuda_lists_shared_bytes(length: int) -> int: ...
def cuda_fragment_bytes(precision: str, union_channels: int, taps: int) -> int: ...
def cuda_decode(
    *,
    filters: int,
    length: int,
    filter_ptr: int,
    latents: int,
    matrix: int,
    exponent: int,
    scale: int,
    values: int,
    stream: int,
) -> None: ...
def cuda_arrange(
    *,
    precision: str,
    filters: int,
    channels: int,
    groups: int,
    taps: int,
    slice_channels: int,
    filter_ptr: int,
    channel: int,
    values: int,
    position: int,
    slot: int,
    block_ptr: int,
    fragments: int,
    stream: int,
) -> None: ...

# --- end of the CUDA kernels ----------------------------------------------------------------------
