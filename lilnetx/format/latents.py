"""The LATS section: all latent weights as independent entropy-coded streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lilnetx import _core
from lilnetx.errors import CorruptSectionError
from lilnetx.format import layout
from lilnetx.format.cursor import Cursor, Sink
from lilnetx.format.weight_info import WeightInfo
from lilnetx.graph.ir import Decoder
from lilnetx.graph.slices import SliceShape

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


@dataclass(frozen=True)
class LatentStreams:
    """The section, cut into its streams.

    Attributes:
        coded: Bytes of all streams, one after the other.
        sizes: Weights and bytes of each stream.
        path: Name of the file, for messages.
        offset: Offset of ``coded`` in the file, for messages.
    """

    coded: memoryview
    sizes: Sequence[tuple[int, int]]
    path: str
    offset: int


def split_streams(data: memoryview, weights: int, path: str, offset: int) -> LatentStreams:
    """Reads the section's head.

    Args:
        data: The section's bytes, already known to match their checksum.
        weights: Number of latent weights of the network.
        path: Name of the file, for messages.
        offset: Offset of the section in the file, for messages.
    """
    cursor = Cursor(data, path, "LATS", offset)
    sizes: list[tuple[int, int]] = []
    for _ in range(cursor.within("stream count", 1, min(weights, layout.MAX_STREAMS))):
        count = cursor.within("weights in a stream", 1, weights)
        sizes.append((count, cursor.within("length of a stream", 0, len(data))))
    if sum(count for count, _ in sizes) != weights:
        raise cursor.corrupt(f"streams for {weights} weights", f"{sizes}")
    if sum(length for _, length in sizes) != cursor.remaining:
        raise cursor.corrupt(f"streams of {cursor.remaining} bytes in all", f"{sizes}")
    coded = cursor.take(cursor.remaining)
    return LatentStreams(coded, sizes, path, offset + len(data) - len(coded))


def decode_latents(
    streams: LatentStreams, infos: Sequence[WeightInfo], threads: int
) -> list[Latents]:
    """Decodes the streams into arrays.

    Args:
        streams: The section.
        infos: The latent weights, in order.
        threads: How many threads share the streams.

    Returns:
        int32 arrays of the shapes ``(F, S, n)`` in ``infos``. Only nonzero slices are written, so
        pages of memory that hold none stay untouched.
    """
    arrays = [np.zeros(info.shape, np.int32) for info in infos]
    found = _core.decode_latents(streams.coded, streams.sizes, arrays, *_columns(infos), threads)
    _check_streams(streams, found)
    return arrays


def decode_packed(
    streams: LatentStreams,
    infos: Sequence[WeightInfo],
    shapes: Sequence[SliceShape],
    decoders: Sequence[Decoder],
    threads: int,
) -> list[_core.PackedWeight]:
    """Decodes the streams straight into packed weights.

    Beside these, each thread has memory for the latents of one weight.

    Args:
        streams: The section.
        infos: The latent weights, in order.
        shapes: How each is cut into slices.
        decoders: All decoders of the file, in order.
        threads: How many threads share the streams.
    """
    models, nonzero = _columns(infos)
    weights = [
        (shape.as_tuple(), info.decoder, model, count)
        for shape, info, model, count in zip(shapes, infos, models, nonzero, strict=True)
    ]
    pairs = [(decoder.matrix, decoder.exponent) for decoder in decoders]
    packed, found = _core.decode_packed(streams.coded, streams.sizes, weights, pairs, threads)
    _check_streams(streams, found)
    return packed


def _check_streams(streams: LatentStreams, defects: Sequence[str | None]) -> None:
    at = streams.offset
    for index, ((_, length), found) in enumerate(zip(streams.sizes, defects, strict=True)):
        if found:
            raise layout.defect(
                CorruptSectionError,
                streams.path,
                f"LATS stream {index}",
                at,
                expected=f"{length} bytes that decode to the declared weights",
                found=found,
            )
        at += length


def _columns(infos: Sequence[WeightInfo]) -> tuple[list[int], list[int]]:
    """What the coder wants to know of the weights: models and counts of nonzero slices."""
    return [info.decoder for info in infos], [info.nonzero for info in infos]
