"""Files put together by hand for tests: whole, damaged, or contradicting themselves."""

from __future__ import annotations

import struct

from lilnetx.reference.codec import crc32c
from lilnetx.reference.side_codec import decode_text, encode_text

MAGIC = b"\x89LNX\r\n\x1a\n"
TEXT = (b"GRPH", b"META")


def header(table, sections, file_bytes, *, version=3, flags=0, reserved=bytes(28)):
    fields = (MAGIC, version, flags, sections, crc32c(table), file_bytes, reserved)
    body = struct.pack("<8sIIIIQ28s", *fields)
    return body + struct.pack("<I", crc32c(body))


class Coded(bytes):
    """A section of text as it is in the file, good or bad."""


def varint(value):
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def assemble(sections, **fields):
    """A file of (name, bytes) pairs in the order given, with right checksums.

    Sections of text are given plain, or as :class:`Coded`.
    """
    sections = [
        (name, varint(len(data)) + encode_text(data))
        if name in TEXT and not isinstance(data, Coded)
        else (name, data)
        for name, data in sections
    ]
    offset = 64 + 24 * len(sections)
    table = body = b""
    for name, data in sections:
        padding = -offset % 64
        offset += padding
        table += struct.pack("<4sIQQ", name, crc32c(data), offset, len(data))
        body += bytes(padding) + data
        offset += len(data)
    return header(table, len(sections), offset, **fields) + table + body


def disassemble(data):
    """The (name, bytes) pairs of a good file."""
    count = struct.unpack_from("<I", data, 16)[0]
    entries = [struct.unpack_from("<4sIQQ", data, 64 + 24 * i) for i in range(count)]
    return [
        (name, (Coded if name in TEXT else bytes)(data[offset : offset + length]))
        for name, _, offset, length in entries
    ]


def plain(section):
    """What a good section of text says."""
    size = shift = at = 0
    while True:
        size |= (section[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if section[at - 1] < 128:
            return decode_text(bytes(section[at:]), size)
