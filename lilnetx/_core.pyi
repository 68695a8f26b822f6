"""The C++ extension."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Codec.

def crc32c(data: bytes | memoryview, crc: int = 0) -> int: ...
def encode_latents(
    latents: Sequence[NDArray[np.int32]],
    widths: Sequence[int],
    models: Sequence[int],
    nonzero: Sequence[int],
) -> bytes: ...
def decode_latents(
    data: bytes | memoryview,
    streams: Sequence[tuple[int, int]],
    out: Sequence[NDArray[np.int32]],
    widths: Sequence[int],
    models: Sequence[int],
    nonzero: Sequence[int],
    threads: int,
) -> list[str | None]: ...
def encode_ints(vectors: Sequence[NDArray[np.int32]], kinds: Sequence[int]) -> bytes: ...
def decode_ints(
    data: bytes | memoryview, out: Sequence[NDArray[np.int32]], kinds: Sequence[int]
) -> str | None: ...
