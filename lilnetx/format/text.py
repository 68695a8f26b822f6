"""Sections of text: the graph's description and the metadata, coded by what they repeat."""

from __future__ import annotations

from lilnetx import _core
from lilnetx.errors import CorruptSectionError
from lilnetx.format.cursor import Cursor, Sink
from lilnetx.format.layout import defect


def encode_text(data: bytes) -> bytes:
    """A section's bytes: the length of ``data`` and its stream."""
    sink = Sink()
    sink.varint(len(data))
    sink.raw(_core.encode_text(data))
    return sink.getvalue()


def decode_text(data: memoryview, path: str, section: str, offset: int, cap: int) -> bytes:
    """Decodes a section.

    Args:
        data: The section's bytes.
        path: Name of the file, for messages.
        section: Name of the section, for messages.
        offset: Offset of the section in the file, for messages.
        cap: Largest length that is accepted.

    Raises:
        LimitExceededError: It declares more than ``cap`` bytes.
        CorruptSectionError: It is no stream of so many bytes.
    """
    cursor = Cursor(data, path, section, offset)
    count = cursor.varint("length", cap)
    stream = cursor.take(cursor.remaining)
    text = _core.decode_text(stream, count)
    if isinstance(text, str):
        raise defect(
            CorruptSectionError,
            path,
            section,
            offset,
            expected=f"{len(stream)} bytes that decode to {count}",
            found=text,
        )
    return text


__all__ = ["decode_text", "encode_text"]
