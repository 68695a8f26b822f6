"""Damaged `.lnx` files whose checksums are right, so that the damage reaches the parsers.

A mutation works on a file's sections, and the container is put together anew around them: offsets,
lengths and checksums are right unless the mutation is one of the container itself.
"""

from __future__ import annotations

import random
import struct

from lilnetx._core import crc32c
from lilnetx.errors import LnxFormatError
from lilnetx.format.text import decode_text, encode_text

HEADER = struct.Struct("<8sIIIIQ28s")
ENTRY = struct.Struct("<4sIQQ")
ALIGNMENT = 64

# Bytes and little-endian numbers at which parsers change their mind.
BYTES = (0, 1, 2, 0x3F, 0x40, 0x7F, 0x80, 0x81, 0xFE, 0xFF)
VARINTS = (
    b"\x80\x80\x40",
    b"\xff\xff\x03",
    b"\x80\x80\x80\x80\x01",
    b"\xff" * 8 + b"\x7f",
    b"\x80",
)

Sections = list[tuple[bytes, bytes]]


def disassemble(data: bytes) -> tuple[int, int, Sections]:
    """Version, flags and the (name, bytes) pairs of a good file."""
    _, version, flags, count, _, _, _ = HEADER.unpack_from(data)
    entries = [ENTRY.unpack_from(data, 64 + ENTRY.size * i) for i in range(count)]
    sections = [(name, data[offset : offset + length]) for name, _, offset, length in entries]
    return version, flags, sections


def assemble(
    sections: Sections, *, version: int, flags: int, rng: random.Random | None = None
) -> bytes:
    """A whole file. With ``rng``, one number of header or table, or a byte of padding, is wrong."""
    wrong = rng.choice(("offset", "length", "size", "count", "padding", "reserved")) if rng else ""
    victim = rng.randrange(len(sections)) if rng and sections else -1
    offset = HEADER.size + 4 + ENTRY.size * len(sections)
    table = body = b""
    for index, (name, data) in enumerate(sections):
        padding = bytearray(-offset % ALIGNMENT)
        if wrong == "padding" and index == victim and rng and padding:
            padding[rng.randrange(len(padding))] = rng.choice(BYTES)
        offset += len(padding)
        numbers = [offset, len(data)]
        if rng and index == victim and wrong in ("offset", "length"):
            numbers[wrong == "length"] = _wrong_number(rng, numbers[wrong == "length"])
        table += ENTRY.pack(name, crc32c(data), *numbers)
        body += bytes(padding) + data
        offset += len(data)
    size = _wrong_number(rng, offset) if rng and wrong == "size" else offset
    count = len(sections)
    if rng and wrong == "count":
        count = _wrong_number(rng, count) & 0xFFFFFFFF
    reserved = bytes(27) + b"\1" if wrong == "reserved" else bytes(28)
    magic = b"\x89LNX\r\n\x1a\n"
    header = HEADER.pack(magic, version, flags, count, crc32c(table), size, reserved)
    return header + struct.pack("<I", crc32c(header)) + table + body


def mutate(base: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """A mutation of a good file; ``others`` are good files to take parts from."""
    version, flags, sections = disassemble(base)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _mutate_sections(sections, others, rng)
    if rng.random() < 0.02:
        version = rng.choice((0, 1, 2, 3, 0xFFFFFFFF))
    if rng.random() < 0.02:
        flags = rng.randrange(8)
    damaged = assemble(
        sections, version=version, flags=flags, rng=rng if rng.random() < 0.05 else None
    )
    return damaged[: rng.randrange(len(damaged))] if rng.random() < 0.01 else damaged


def _mutate_sections(sections: Sections, others: list[bytes], rng: random.Random) -> None:
    if not sections:
        return
    # The graph is where most of the parsing is.
    at = 0 if rng.random() < 0.5 else rng.randrange(len(sections))
    name, data = sections[at]
    how = rng.random()
    if how < 0.9:
        text = _text_of(name, data) if rng.random() < 0.9 else None
        if text is None:
            sections[at] = name, _mutate_bytes(data, rng)
        else:
            sections[at] = name, encode_text(_mutate_bytes(text, rng))
    elif how < 0.96:
        other = rng.choice(disassemble(rng.choice(others))[2])
        mine = [i for i, (name, _) in enumerate(sections) if name == other[0]]
        if mine:
            sections[mine[0]] = other
        else:
            sections.insert(rng.randrange(len(sections) + 1), other)
    elif how < 0.98:
        del sections[at]
    else:
        sections.insert(rng.randrange(len(sections) + 1), sections[at])


def _text_of(name: bytes, data: bytes) -> bytes | None:
    """What a section of text says: more can be wrong in it than in its coded bytes."""
    if name not in (b"GRPH", b"META"):
        return None
    try:
        return decode_text(memoryview(data), "", "", 0, 1 << 16)
    except LnxFormatError:
        return None


def _mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4, 8))):
        at = rng.randrange(len(changed) + 1)
        inside = min(at, len(changed) - 1)
        how = rng.randrange(8)
        if how == 0 and changed:
            changed[inside] ^= 1 << rng.randrange(8)
        elif how == 1 and changed:
            changed[inside] = rng.choice(BYTES)
        elif how == 2 and changed:
            changed[inside] = rng.randrange(256)
        elif how == 3 and changed:
            changed[inside] = (changed[inside] + rng.choice((-1, 1))) % 256
        elif how == 4:
            changed[at:at] = rng.choice((bytes([rng.randrange(256)]), rng.choice(VARINTS)))
        elif how == 5:
            del changed[at : at + rng.choice((1, 1, 1, 2, 8))]
        elif how == 6:
            changed[at : at + 1] = rng.choice(VARINTS)
        else:
            start = rng.randrange(len(changed) + 1)
            changed[at:at] = changed[start : start + rng.randrange(24)]
    return bytes(changed)


def _wrong_number(rng: random.Random, right: int) -> int:
    number = rng.choice((right + 1, right - 1, right + 64, 0, 1, 1 << 31, 1 << 32, (1 << 64) - 1))
    return number & 0xFFFFFFFFFFFFFFFF
