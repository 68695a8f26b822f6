"""The container: header, section table, caps. SPEC.md is the text that this module follows."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from lilnetx.errors import LnxFormatError

MAGIC = b"\x89LNX\r\n\x1a\n"
VERSION = 3
OLDEST_VERSION = 3  # Versions 1 and 2 were never released.
ALIGNMENT = 64

HEADER = struct.Struct("<8sIIIIQ28sI")
ENTRY = struct.Struct("<4sIQQ")
FLAG_SYNTHETIC = 1

# All sections, in the only order in which they may appear.
SECTION_ORDER = (b"GRPH", b"DECO", b"SIDE", b"LATS", b"RAWF", b"META")

# Caps. The reader allocates nothing that is not below them.
MAX_FILE_BYTES = 1 << 32
MAX_META_BYTES = 1 << 20
MAX_GRAPH_BYTES = 1 << 22
MAX_NODES = 1 << 16
MAX_OUTPUTS = 256
MAX_NAME_BYTES = 1024
MAX_DECODERS = 256
MAX_SLICE_LENGTH = 256
MAX_EXPONENT = 126
MAX_DIMENSION = 1 << 20
MAX_WINDOW = 1 << 10
MAX_LATENT = 32767
MAX_MATRIX_ENTRY = 32767
MAX_TOTAL_LATENTS = 1 << 28
MAX_TOTAL_DENSE = 1 << 28
MAX_TOTAL_SIDE = 1 << 24
MAX_STREAMS = 1 << 16

# Writers close a stream before it would exceed this many latents, so that threads can share.
STREAM_LATENTS = 1 << 20


@dataclass(frozen=True)
class Header:
    """The first 64 bytes.

    Attributes:
        version: Version of the format.
        flags: Bit 0: synthetic weights.
        sections: Number of table entries.
        table_crc: CRC32C of the section table.
        file_bytes: Length of the whole file.
    """

    version: int
    flags: int
    sections: int
    table_crc: int
    file_bytes: int


@dataclass(frozen=True)
class Section:
    """One entry of the section table; offset and length in bytes."""

    name: bytes
    crc: int
    offset: int
    length: int


def align(offset: int) -> int:
    """The next multiple of 64."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def defect(
    kind: type[LnxFormatError],
    path: str,
    section: str,
    offset: int,
    *,
    expected: object,
    found: object,
    remedy: str = "the file is damaged: get it or pack it again",
) -> LnxFormatError:
    """An error with everything that a reader of it needs: where, expected, found, what to do."""
    return kind(f"{path}: {section} at byte {offset}: expected {expected}, found {found}; {remedy}")
