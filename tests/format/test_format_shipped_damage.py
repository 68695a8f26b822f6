"""The shipped file: every single-bit flip and every truncation is refused, each with its own class.

All bits are tried on the checks that come before parsing, which are the same for all readers; every
so many-th one, or each (LILNETX_ALL_BITS, as `make fuzz` has it), is also tried on the reader.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from files import disassemble

import lilnetx.models
from lilnetx.errors import (
    ChecksumError,
    CorruptSectionError,
    LnxFormatError,
    NotAnLnxFileError,
    TruncatedFileError,
)
from lilnetx.format import inspect_lnx, read_lnx
from lilnetx.format.container import Container
from lilnetx.format.reader import read_packed

SHIPPED = sorted(Path(lilnetx.models.__path__[0]).glob("*.lnx"))
STRIDE = 1 if "LILNETX_ALL_BITS" in os.environ else 499


def expected_errors(data):
    """For each byte the exception that its change must raise, and the section that it lies in."""
    sections = disassemble(data)
    found = [(NotAnLnxFileError, None)] * 8 + [(ChecksumError, None)] * (56 + 24 * len(sections))
    for name, content in sections:
        start = -(-len(found) // 64) * 64
        found += [(CorruptSectionError, None)] * (start - len(found))
        found += [(ChecksumError, name)] * len(content)
    assert len(found) == len(data)
    return found


def check_container(path, section):
    with open(path, "rb") as file:
        container = Container(file, str(path))
        container.check_padding()
        if section is not None:
            container.section(section)


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda path: path.stem)
def test_every_bit_flip(shipped, tmp_path):
    good = shipped.read_bytes()
    path = tmp_path / "bad.lnx"
    path.write_bytes(good)
    with open(path, "r+b", buffering=0) as file:
        for at, (expected, section) in enumerate(expected_errors(good)):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([good[at] ^ 1 << bit]), at)
                with pytest.raises(LnxFormatError) as error:
                    check_container(path, section)
                assert type(error.value) is expected, (at, bit)
                if (8 * at + bit) % STRIDE == 0:
                    for read in (read_lnx, read_packed):
                        with pytest.raises(LnxFormatError) as error:
                            read(path)
                        assert type(error.value) is expected, (read, at, bit)
            os.pwrite(file.fileno(), good[at : at + 1], at)
    assert path.read_bytes() == good


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda path: path.stem)
def test_every_truncation(shipped, tmp_path):
    path = tmp_path / "bad.lnx"
    path.write_bytes(shipped.read_bytes())
    for size in reversed(range(path.stat().st_size)):
        os.truncate(path, size)
        for read in (read_lnx, read_packed, inspect_lnx):
            with pytest.raises(TruncatedFileError, match=f"found {size}"):
                read(path)
