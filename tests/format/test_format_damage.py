"""Damage of every kind ends in the exception that names it."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from assemble_golden import PATH
from files import MAGIC, disassemble, header

from lilnetx.errors import (
    ChecksumError,
    CorruptSectionError,
    LnxFormatError,
    NotAnLnxFileError,
    TrailingBytesError,
    TruncatedFileError,
    UnsupportedVersionError,
)
from lilnetx.format import inspect_lnx, read_lnx, verify_lnx
from lilnetx.format.reader import read_packed

GOOD = PATH.read_bytes()
SECTIONS = disassemble(GOOD)
TABLE_END = 64 + 24 * len(SECTIONS)


def regions():
    """For each byte of the good file the exception that its change must raise."""
    found = [NotAnLnxFileError] * 8 + [ChecksumError] * (TABLE_END - 8)
    for name, data in SECTIONS:
        start = -(-len(found) // 64) * 64
        found += [CorruptSectionError] * (start - len(found)) + [ChecksumError] * len(data)
        assert GOOD[start : start + len(data)] == data, name
    assert len(found) == len(GOOD)
    return found


def test_every_bit_flip_and_more_changes(tmp_path):
    path = tmp_path / "bad.lnx"
    path.write_bytes(GOOD)
    with open(path, "r+b", buffering=0) as file:
        for at, expected in enumerate(regions()):
            changes = {GOOD[at] ^ 1 << bit for bit in range(8)}
            changes |= {0, 255, GOOD[at] ^ 255, (GOOD[at] + 1) % 256}
            for value in sorted(changes - {GOOD[at]}):
                file.seek(at)
                file.write(bytes([value]))
                for read in (read_lnx, read_packed):
                    with pytest.raises(LnxFormatError) as error:
                        read(path)
                    assert type(error.value) is expected, (at, value)
                    assert str(path) in str(error.value)
            file.seek(at)
            file.write(GOOD[at : at + 1])
    read_lnx(path)


def test_every_truncation(tmp_path):
    path = tmp_path / "bad.lnx"
    path.write_bytes(GOOD)
    for size in reversed(range(len(GOOD))):
        with open(path, "r+b") as file:
            file.truncate(size)
        for read in (read_lnx, read_packed, verify_lnx, inspect_lnx):
            with pytest.raises(TruncatedFileError, match=f"found {size}"):
                read(path)


@pytest.mark.parametrize("tail", [b"\0", bytes(64), b"more"])
def test_trailing_bytes(tail, tmp_path):
    (tmp_path / "bad.lnx").write_bytes(GOOD + tail)
    for read in (read_lnx, read_packed):
        with pytest.raises(TrailingBytesError, match=f"expected {len(GOOD)} bytes"):
            read(tmp_path / "bad.lnx")


def test_the_file_twice(tmp_path):
    (tmp_path / "bad.lnx").write_bytes(GOOD + GOOD)
    with pytest.raises(TrailingBytesError):
        inspect_lnx(tmp_path / "bad.lnx")


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04" + bytes(100),
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        MAGIC.replace(b"\r\n", b"\n") + bytes(100),
        bytes(100),
        b"x",
    ],
)
def test_other_files(data, tmp_path):
    (tmp_path / "other").write_bytes(data)
    with pytest.raises(NotAnLnxFileError, match=r"other: header at byte 0"):
        read_lnx(tmp_path / "other")


def test_a_newer_version_asks_for_an_upgrade(tmp_path):
    table = GOOD[64:TABLE_END]
    newer = header(table, len(SECTIONS), len(GOOD), version=4) + GOOD[64:]
    (tmp_path / "new.lnx").write_bytes(newer)
    with pytest.raises(UnsupportedVersionError, match=r"version 4.*upgrade lilnetx"):
        read_lnx(tmp_path / "new.lnx")
    # Its header alone tells: what follows may be laid out in any way.
    (tmp_path / "new.lnx").write_bytes(newer[:64] + b"?")
    with pytest.raises(UnsupportedVersionError):
        inspect_lnx(tmp_path / "new.lnx")


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_version_says_what_to_do(tmp_path, version):
    table = GOOD[64:TABLE_END]
    older = header(table, len(SECTIONS), len(GOOD), version=version) + GOOD[64:]
    (tmp_path / "old.lnx").write_bytes(older)
    message = rf"version 3 or newer.*version {version},.*lilnetx pack CHECKPOINT"
    with pytest.raises(UnsupportedVersionError, match=message):
        read_lnx(tmp_path / "old.lnx")


def test_missing_and_forbidden_files(tmp_path):
    with pytest.raises(LnxFormatError, match=r"none\.lnx: cannot open: No such file"):
        read_lnx(tmp_path / "none.lnx")
    with pytest.raises(LnxFormatError, match="cannot open: Is a directory"):
        inspect_lnx(tmp_path)


def test_random_damage_with_right_checksums(tmp_path):
    """Whatever the checksums would have to pass, the reader ends with an exception or a graph.

    Both ways of reading end alike.
    """
    rng = np.random.default_rng(0)
    path = tmp_path / "bad.lnx"
    spans = [(GOOD.index(data), len(data)) for _, data in SECTIONS]
    read = 0
    for _ in range(1500):
        bad = bytearray(GOOD)
        start, length = spans[rng.integers(0, len(spans))]
        for _ in range(rng.integers(1, 4)):
            bad[start + rng.integers(0, length)] = rng.integers(0, 256)
        path.write_bytes(_with_checksums(bad))
        ends = [end_of(reader, path) for reader in (read_lnx, read_packed)]
        assert ends[0] == ends[1]
        read += ends[0] is None
    assert 0 < read < 1500


def end_of(read, path):
    """The exception's class and message, or None."""
    try:
        read(path)
    except LnxFormatError as error:
        return type(error), str(error)
    return None


def _with_checksums(data):
    from lilnetx._core import crc32c

    for index in range(len(SECTIONS)):
        at = 64 + 24 * index
        offset, length = struct.unpack_from("<QQ", data, at + 8)
        struct.pack_into("<I", data, at + 4, crc32c(bytes(data[offset : offset + length])))
    struct.pack_into("<I", data, 20, crc32c(bytes(data[64:TABLE_END])))
    struct.pack_into("<I", data, 60, crc32c(bytes(data[:60])))
    return data
