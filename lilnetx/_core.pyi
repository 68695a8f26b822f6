"""The C++ extension."""

from collections.abc import Sequence

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
