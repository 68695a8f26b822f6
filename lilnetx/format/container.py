"""The container around the sections: checked before anything in it is believed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from lilnetx import _core
from lilnetx.arguments import PATH, require_type
from lilnetx.errors import (
    ChecksumError,
    CorruptSectionError,
    LimitExceededError,
    LnxFormatError,
    NotAnLnxFileError,
    TrailingBytesError,
    TruncatedFileError,
    UnsupportedVersionError,
)
from lilnetx.format.layout import (
    ENTRY,
    FLAG_SYNTHETIC,
    HEADER,
    MAGIC,
    MAX_FILE_BYTES,
    OLDEST_VERSION,
    SECTION_ORDER,
    VERSION,
    Header,
    Section,
    align,
    defect,
)


class Container:
    """An open ``.lnx`` file whose header and section table have been checked.

    Args:
        file: The file, open for reading.
        path: Its name, for messages.

    Attributes:
        path: Name of the file.
        header: Its header.
        sections: Its sections by name, in order.

    Raises:
        LnxFormatError: One subclass for each defect.
    """

    def __init__(self, file: BinaryIO, path: str) -> None:
        self.path = path
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self.header = _parse_header(file.read(HEADER.size), self._size, path)
        table = file.read(self.header.sections * ENTRY.size)
        self.sections = _parse_table(table, self.header, path)

    def section(self, name: bytes) -> memoryview:
        """A section's bytes, after a check of their CRC32C; empty when the section is absent."""
        section = self.sections.get(name)
        if section is None:
            return memoryview(b"")
        self._file.seek(section.offset)
        data = self._file.read(section.length)
        if len(data) != section.length:
            raise _truncated(self.path, section.offset + section.length, section.offset + len(data))
        _check_crc(data, section.crc, self.path, name.decode(), section.offset)
        return memoryview(data)

    def check_padding(self) -> None:
        """Checks that the bytes between the sections are zero."""
        end = HEADER.size + len(self.sections) * ENTRY.size
        for section in self.sections.values():
            self._file.seek(end)
            padding = self._file.read(section.offset - end)
            if any(padding):
                raise defect(
                    CorruptSectionError,
                    self.path,
                    f"padding before {section.name.decode()}",
                    end,
                    expected="zeros",
                    found=padding.hex(),
                )
            end = section.offset + section.length


def open_lnx(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a file for reading; a missing or forbidden one is an :class:`LnxFormatError`.

    So is what is no path at all.
    """
    require_type(path, PATH, LnxFormatError, "the path of a .lnx file")
    try:
        return open(path, "rb")
    except OSError as error:
        raise LnxFormatError(
            f"{os.fspath(path)}: cannot open: {error.strerror}; check the path and its permissions"
        ) from error


def build_container(sections: Mapping[bytes, bytes], *, synthetic: bool) -> bytes:
    """Puts sections together as a whole file."""
    present = [name for name in SECTION_ORDER if name in sections]
    offset = HEADER.size + len(present) * ENTRY.size
    table, body = b"", b""
    for name in present:
        data = sections[name]
        padding = align(offset) - offset
        offset += padding
        table += ENTRY.pack(name, _core.crc32c(data), offset, len(data))
        body += bytes(padding) + data
        offset += len(data)
    flags = FLAG_SYNTHETIC if synthetic else 0
    fields = (MAGIC, VERSION, flags, len(present), _core.crc32c(table), offset, bytes(28))
    header = HEADER.pack(*fields, 0)
    header = HEADER.pack(*fields, _core.crc32c(header[:-4]))
    return header + table + body


def _parse_header(data: bytes, size: int, path: str) -> Header:
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise defect(
            NotAnLnxFileError,
            path,
            "header",
            0,
            expected=f"the magic bytes {MAGIC.hex()}",
            found=data[: len(MAGIC)].hex(),
            remedy="this is not a .lnx file, or it was transferred as text",
        )
    if len(data) < HEADER.size:
        raise _truncated(path, HEADER.size, size)
    _, version, flags, sections, table_crc, file_bytes, reserved, crc = HEADER.unpack(data)
    # The checksum comes first, so that a damaged version number is not taken for a newer format.
    _check_crc(data[:-4], crc, path, "header", 0)
    if version > VERSION:
        raise defect(
            UnsupportedVersionError,
            path,
            "header",
            8,
            expected=f"format version {VERSION} or older",
            found=f"version {version}",
            remedy="upgrade lilnetx:  pip install --upgrade lilnetx",
        )
    if 0 < version < OLDEST_VERSION:
        raise defect(
            UnsupportedVersionError,
            path,
            "header",
            8,
            expected=f"format version {OLDEST_VERSION} or newer",
            found=f"version {version}, of a lilnetx before its first release",
            remedy="pack the network again from its checkpoint:  lilnetx pack CHECKPOINT -o FILE",
        )
    if version == 0 or flags & ~FLAG_SYNTHETIC or any(reserved):
        raise defect(
            CorruptSectionError,
            path,
            "header",
            8,
            expected="a version from 1, known flags and zeros in the reserved bytes",
            found=f"version {version}, flags {flags:#x}, reserved {reserved.hex()}",
        )
    if file_bytes > MAX_FILE_BYTES or sections > len(SECTION_ORDER):
        raise defect(
            LimitExceededError,
            path,
            "header",
            16,
            expected=f"at most {MAX_FILE_BYTES} bytes and {len(SECTION_ORDER)} sections",
            found=f"{file_bytes} bytes and {sections} sections",
            remedy="nothing was allocated; the file was made for other limits",
        )
    if size < file_bytes:
        raise _truncated(path, file_bytes, size)
    if size > file_bytes:
        raise defect(
            TrailingBytesError,
            path,
            "end of file",
            file_bytes,
            expected=f"{file_bytes} bytes",
            found=f"{size} bytes",
            remedy="something was appended to the file: get it or pack it again",
        )
    return Header(version, flags, sections, table_crc, file_bytes)


def _parse_table(table: bytes, header: Header, path: str) -> dict[bytes, Section]:
    if len(table) < header.sections * ENTRY.size:
        raise _truncated(path, HEADER.size + header.sections * ENTRY.size, header.file_bytes)
    _check_crc(table, header.table_crc, path, "section table", HEADER.size)
    sections: dict[bytes, Section] = {}
    end = HEADER.size + len(table)
    rank = -1
    for index, entry in enumerate(ENTRY.iter_unpack(table)):
        section = Section(*entry)
        where = HEADER.size + index * ENTRY.size
        name = section.name.decode("ascii", "replace")
        if section.name not in SECTION_ORDER[rank + 1 :]:
            expected: object = [name.decode() for name in SECTION_ORDER[rank + 1 :]]
            raise defect(
                CorruptSectionError, path, "section table", where, expected=expected, found=name
            )
        rank = SECTION_ORDER.index(section.name)
        stop = section.offset + section.length
        if section.offset != align(end) or stop > header.file_bytes:
            raise defect(
                CorruptSectionError,
                path,
                f"section table, {name}",
                where,
                expected=f"a section from {align(end)} that ends by {header.file_bytes}",
                found=f"{section.length} bytes from {section.offset}",
            )
        sections[section.name] = section
        end = stop
    if SECTION_ORDER[0] not in sections or end != header.file_bytes:
        raise defect(
            CorruptSectionError,
            path,
            "section table",
            HEADER.size,
            expected=f"GRPH, and sections up to byte {header.file_bytes}",
            found=f"{[name.decode() for name in sections]} up to byte {end}",
        )
    return sections


def _check_crc(data: bytes, stored: int, path: str, section: str, offset: int) -> None:
    found = _core.crc32c(data)
    if found != stored:
        raise defect(
            ChecksumError,
            path,
            section,
            offset,
            expected=f"CRC32C {stored:#010x}",
            found=f"{found:#010x}",
        )


def _truncated(path: str, expected: int, found: int) -> LnxFormatError:
    return defect(
        TruncatedFileError,
        path,
        "end of file",
        found,
        expected=f"{expected} bytes",
        found=f"{found}",
        remedy="the file was cut short: get it again",
    )


def path_text(path: str | os.PathLike[str]) -> str:
    """A path as it appears in messages."""
    return str(Path(path))
