"""The IDX format of MNIST and Fashion-MNIST, plain or gzipped.

Two zero bytes, a type byte (8 = unsigned byte), the number of dimensions, then each dimension as a
big-endian uint32, then the values.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lilnetx.errors import DataError

_UNSIGNED_BYTE = 8


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes.

    Raises:
        DataError: The file is missing, damaged, or of another type.
    """
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch it again") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != _UNSIGNED_BYTE:
        raise DataError(f"{path}: not an IDX file of unsigned bytes")
    header = 4 + 4 * raw[3]
    if len(raw) < header:
        raise DataError(f"{path}: ends inside its header; fetch it again")
    shape = struct.unpack(f">{raw[3]}I", raw[4:header])
    if len(raw) != header + math.prod(shape):
        raise DataError(
            f"{path}: {len(raw)} bytes, but its header declares {header + math.prod(shape)}; "
            "fetch it again"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)
