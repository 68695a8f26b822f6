"""TensorBoard's event files, written without TensorBoard.

An event file is a sequence of records, each a protocol buffer ``Event`` between checksums. Scalars,
histograms and images of that format take a page, where the package ``tensorboard`` brings gRPC and
a web server onto every machine that trains. Field numbers are those of TensorFlow's ``event.proto``
and ``summary.proto``.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lilnetx._core import crc32c
from lilnetx.errors import OutputError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_GREY = 1
# Buckets of a histogram of values that spread further.
_MOST_BUCKETS = 256


class EventWriter:
    """Appends to an event file of its own in a folder.

    Args:
        folder: What ``tensorboard --logdir`` is given; made when it is not there.

    Raises:
        OutputError: From every method, when the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        name = f"events.out.tfevents.{time.time_ns() // 1000:016d}.{socket.gethostname()}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = (self._folder / f"{name}.{os.getpid()}").open("xb")
        except OSError as error:
            raise self._error(error) from error
        self._write(_time_now() + _text(3, "brain.Event:2"))
        self.flush()

    def scalar(self, tag: str, value: float, step: int) -> None:
        """One point of a curve."""
        self._summary(step, _text(1, tag) + _key(2, _FIXED32) + struct.pack("<f", value))

    def histogram(self, tag: str, values: NDArray[np.int32], step: int) -> None:
        """The distribution of integers, in buckets around them."""
        limits, counts = _buckets(values)
        flat = values.astype(np.float64)
        statistics = (
            float(flat.min(initial=0)),
            float(flat.max(initial=0)),
            float(values.size),
            float(flat.sum()),
            float(np.square(flat).sum()),
        )
        content = b"".join(
            _key(number, _FIXED64) + struct.pack("<d", value)
            for number, value in enumerate(statistics, start=1)
        )
        content += _blob(6, limits.astype("<f8").tobytes())
        content += _blob(7, counts.astype("<f8").tobytes())
        self._summary(step, _text(1, tag) + _blob(5, content))

    def image(self, tag: str, png: bytes, height: int, width: int, step: int) -> None:
        """A grey PNG file of ``height`` x ``width`` pixels."""
        sizes = _number(1, height) + _number(2, width) + _number(3, _GREY)
        self._summary(step, _text(1, tag) + _blob(4, sizes + _blob(4, png)))

    def flush(self) -> None:
        """Make what was written visible to TensorBoard."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Flush and close; nothing can be written any more."""
        try:
            self._file.close()
        except OSError as error:
            raise self._error(error) from error

    def _summary(self, step: int, value: bytes) -> None:
        self._write(_time_now() + _number(2, step) + _blob(5, _blob(1, value)))

    def _write(self, event: bytes) -> None:
        length = struct.pack("<Q", len(event))
        try:
            self._file.write(length + _checksum(length) + event + _checksum(event))
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> OutputError:
        return OutputError(f"{self._folder}: cannot write events ({error.strerror or error})")


def _buckets(values: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Upper limits of buckets and counts in them; one bucket an integer where they are few."""
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    edges = np.arange(low, high + 2) - 0.5
    if len(edges) > _MOST_BUCKETS + 1:
        edges = np.linspace(low - 0.5, high + 0.5, _MOST_BUCKETS + 1)
    counts, _ = np.histogram(values, edges)
    # Without an empty bucket on either side TensorBoard draws no edges.
    width = edges[1] - edges[0]
    limits = np.concatenate([edges, [edges[-1] + width]])
    return limits, np.concatenate([[0], counts, [0]]).astype(np.float64)


def _checksum(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _time_now() -> bytes:
    return _key(1, _FIXED64) + struct.pack("<d", time.time())


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _number(number: int, value: int) -> bytes:
    return _key(number, _VARINT) + _varint(value)


def _text(number: int, text: str) -> bytes:
    return _blob(number, text.encode())


def _blob(number: int, data: bytes) -> bytes:
    return _key(number, _BYTES) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


__all__ = ["EventWriter"]
