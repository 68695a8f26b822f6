"""The LATS section: all latent weights as independent entropy-coded streams."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lilnetx import _core
from lilnetx.errors import CorruptSectionError
from lilnetx.format import layout
from lilnetx.format.cursor import Cursor, Sink
from lilnetx.format.weight_info import WeightInfo

Latents = NDArray[np.int32]


def partition(sizes: Sequence[int], limit: int = layout.STREAM_LATENTS) -> list[int]:
    """Consecutive weights grouped into streams.

    Args:
        sizes: Number of latents of each weight.
        limit: A stream is closed before a weight would take it above this many latents.

    Returns:
        Number of weights in each stream.
    """
    counts: list[int] = []
    filled = 0
    for size in sizes:
        if counts and filled + size <= limit:
            counts[-1] += 1
            filled += size
        else:
            counts.append(1)
            filled = size
    return counts


def encode_latents(latents: Sequence[Latents], infos: Sequence[WeightInfo]) -> bytes:
    """The section's bytes.

    Args:
        latents: int32, each of shape ``(F, S, n)``.
        infos: Their descriptions, in the same order.
    """
    counts = partition([array.size for array in latents])
    streams: list[bytes] = []
    first = 0
    for count in counts:
        last = first + count
        members = list(latents[first:last])
        streams.append(_core.encode_latents(members, *_columns(infos[first:last])))
        first = last
    sink = Sink()
    sink.varint(len(streams))
    for count, stream in zip(counts, streams, strict=True):
        sink.varint(count)
        sink.varint(len(stream))
    sink.raw(b"".join(streams))
    return sink.getvalue()


def decode_latents(
    data: memoryview,
    infos: Sequence[WeightInfo],
    path: str,
    offset: int,
    threads: int | None = None,
) -> list[Latents]:
    """Decodes the section.

    Args:
        data: The section's bytes, already known to match their checksum.
        infos: The latent weights, in order.
        path: Name of the file, for messages.
        offset: Offset of the section in the file, for messages.
        threads: How many threads share the streams; all processors by default.

    Returns:
        int32 arrays of the shapes ``(F, S, n)`` in ``infos``. Only nonzero slices are written, so
        pages of memory that hold none stay untouched.
    """
    cursor = Cursor(data, path, "LATS", offset)
    streams: list[tuple[int, int]] = []
    for _ in range(cursor.within("stream count", 1, min(len(infos), layout.MAX_STREAMS))):
        count = cursor.within("weights in a stream", 1, len(infos))
        streams.append((count, cursor.within("length of a stream", 0, len(data))))
    if sum(count for count, _ in streams) != len(infos):
        raise cursor.corrupt(f"streams for {len(infos)} weights", f"{streams}")
    if sum(length for _, length in streams) != cursor.remaining:
        raise cursor.corrupt(f"streams of {cursor.remaining} bytes in all", f"{streams}")
    coded = cursor.take(cursor.remaining)
    arrays = [np.zeros(info.shape, np.int32) for info in infos]
    defects = _core.decode_latents(
        coded,
        streams,
        arrays,
        *_columns(infos),
        threads or os.cpu_count() or 1,
    )
    at = offset + len(data) - len(coded)
    for index, ((_, length), found) in enumerate(zip(streams, defects, strict=True)):
        if found:
            raise layout.defect(
                CorruptSectionError,
                path,
                f"LATS stream {index}",
                at,
                expected=f"{length} bytes that decode to the declared weights",
                found=found,
            )
        at += length
    return arrays


def _columns(infos: Sequence[WeightInfo]) -> tuple[list[int], list[int]]:
    """What the coder wants to know of the weights: models and counts of nonzero slices."""
    return [info.decoder for info in infos], [info.nonzero for info in infos]
