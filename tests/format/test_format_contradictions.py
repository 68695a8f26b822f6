"""Files with right checksums whose content contradicts itself, or asks for too much."""

from __future__ import annotations

import struct
import subprocess
import sys

import numpy as np
import pytest
from assemble_golden import PATH
from files import Coded, assemble, disassemble, header, plain, varint

from lilnetx import _core
from lilnetx.errors import CorruptSectionError, LimitExceededError, LnxFormatError
from lilnetx.format import inspect_lnx, layout, read_lnx
from lilnetx.format.cursor import Cursor, Sink
from lilnetx.format.reader import read_packed

GOOD = dict(disassemble(PATH.read_bytes()))
BIG = b"\x80\x80\x40"  # varint 2**20
# varint 2**20 + 1
OVER = b"\x81\x80\x40"


@pytest.fixture
def refuse(tmp_path):
    def check(data, kind, message):
        (tmp_path / "bad.lnx").write_bytes(data)
        for read in (read_lnx, read_packed):
            with pytest.raises(LnxFormatError, match=message) as error:
                read(tmp_path / "bad.lnx")
            assert type(error.value) is kind
            assert "bad.lnx" in str(error.value)

    return check


def with_section(name, data):
    """The golden file with other bytes in one section; None leaves it out."""
    sections = {**GOOD, name: data}
    ordered = [each for each in layout.SECTION_ORDER if each in sections]
    return assemble([(each, sections[each]) for each in ordered if sections[each] is not None])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"version": 0}, "version 0"),
        ({"flags": 2}, "flags 0x2"),
        ({"reserved": bytes(27) + b"\1"}, "reserved"),
    ],
)
def test_header(refuse, fields, message):
    refuse(assemble(list(GOOD.items()), **fields), CorruptSectionError, message)


def test_header_caps(refuse):
    refuse(header(b"", 7, 64), LimitExceededError, "6 sections, found")
    refuse(header(b"", 0, (1 << 32) + 1), LimitExceededError, "4294967297")


def entry(name, offset, length, data=b""):
    return struct.pack("<4sIQQ", name, _core.crc32c(data), offset, length)


@pytest.mark.parametrize(
    ("table", "size"),
    [
        (b"", 64),
        (entry(b"DECO", 128, 1), 129),
        (entry(b"XXXX", 128, 1), 129),
        (entry(b"GRPH", 128, 1) + entry(b"GRPH", 192, 1), 193),
        (entry(b"GRPH", 128, 1) + entry(b"META", 192, 1) + entry(b"LATS", 256, 1), 257),
        (entry(b"GRPH", 129, 1), 130),
        (entry(b"GRPH", 192, 1), 193),
        (entry(b"GRPH", 64, 1), 129),
        (entry(b"GRPH", 128, 2), 129),
        (entry(b"GRPH", 128, 1), 130),
        (entry(b"GRPH", 128, (1 << 64) - 1), 129),
        (entry(b"GRPH", (1 << 64) - 64, 65), 129),
        (entry(b"GRPH", 128, 10) + entry(b"DECO", 128, 10), 138),
    ],
)
def test_section_table(refuse, table, size):
    body = header(table, len(table) // 24, size) + table
    refuse(body.ljust(size, b"\0"), CorruptSectionError, "section table")


@pytest.mark.parametrize("name", [b"DECO", b"SIDE", b"LATS", b"RAWF"])
def test_missing_sections(refuse, name):
    refuse(with_section(name, None), CorruptSectionError, f"a section {name.decode()}, found none")


@pytest.mark.parametrize("name", [b"DECO", b"SIDE", b"LATS", b"RAWF"])
def test_superfluous_sections(refuse, name):
    grph = b"\x00" + b"\x01x" + b"\x01\x03" + b"\x00" + b"\x01\x00"
    data = assemble([(b"GRPH", grph), (name, b"\0")])
    refuse(data, CorruptSectionError, f"no section {name.decode()}, found one")


@pytest.mark.parametrize(
    "meta", [b"{", b"[1]", b"\xff{}", b'"x"', b"", b"[" * 100_000], ids=lambda meta: meta[:5]
)
def test_metadata(refuse, meta):
    refuse(with_section(b"META", meta), CorruptSectionError, "META")


def test_metadata_cap(refuse):
    meta = Coded(varint((1 << 20) + 1) + b"abcd")
    refuse(with_section(b"META", meta), LimitExceededError, "META.*at most 1048576")


def test_graph_cap(refuse):
    grph = Coded(varint((1 << 22) + 1) + b"abcd")
    refuse(with_section(b"GRPH", grph), LimitExceededError, "GRPH.*at most 4194304")


@pytest.mark.parametrize("name", [b"GRPH", b"META"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: b"", "more bytes"),
        (lambda text: text[: len(text) // 2], "ends before"),
        (lambda text: text + b"\0", "does not end"),
        (lambda text: text + bytes(9), "does not end"),
    ],
)
def test_text(refuse, name, change, message):
    refuse(with_section(name, Coded(change(GOOD[name]))), CorruptSectionError, message)


@pytest.mark.parametrize("change", [b"", GOOD[b"RAWF"][:-4], GOOD[b"RAWF"] + bytes(4)])
def test_dense_weights_of_another_size(refuse, change):
    refuse(with_section(b"RAWF", change), CorruptSectionError, "RAWF.*expected 48 bytes")


def test_dense_weights_with_another_count(refuse):
    refuse(with_section(b"RAWF", bytes(48)), CorruptSectionError, "'stdep'.*3 nonzero slices")


LATS = GOOD[b"LATS"]


@pytest.mark.parametrize(
    "lats",
    [
        b"",
        b"\0",
        b"\1\1" + LATS[2:],
        b"\2" + LATS[1:],
        b"\3" + LATS[1:],
        LATS + b"\0",
        b"\2\1\1\1\1" + LATS[3:],
        LATS[:2] + b"\x05" + LATS[3:8],
        LATS[:3] + bytes(len(LATS) - 3),
        LATS[:3] + b"\xff" * (len(LATS) - 3),
    ],
)
def test_latent_streams(refuse, lats):
    refuse(with_section(b"LATS", lats), CorruptSectionError, "LATS")


@pytest.mark.parametrize(("at", "count"), [(0, 4), (0, 2), (0, 0), (1, 3), (1, 5), (1, 6)])
def test_counts_of_nonzero_slices(refuse, at, count):
    """The stream disagrees with the counts in the graph section."""
    grph = plain(GOOD[b"GRPH"])
    marks = [(b"\x03\x01\x01\x00\x03", 4), (b"\x04\x03\x01\x04", 3)]
    mark, place = marks[at]
    position = grph.index(mark) + place
    bad = grph[:position] + bytes([count]) + grph[position + 1 :]
    refuse(with_section(b"GRPH", bad), CorruptSectionError, "LATS stream 0")


SIDE = GOOD[b"SIDE"]


@pytest.mark.parametrize(
    "side",
    [
        b"",
        SIDE[:2],
        b"\xff" + SIDE[1:],
        b"\0" + SIDE[1:],
        SIDE + b"\0",
        SIDE[:-1],
        SIDE[:3] + b"\x7f" + SIDE[4:],
        SIDE[:3] + bytes([SIDE[3] - 1]) + SIDE[4:],
        SIDE[:4] + b"\xff" * SIDE[3] + SIDE[4 + SIDE[3] :],
    ],
)
def test_side_data(refuse, side):
    refuse(with_section(b"SIDE", side), CorruptSectionError, "SIDE")


def test_decoder_matrices(refuse):
    refuse(with_section(b"DECO", GOOD[b"DECO"] + b"\0"), CorruptSectionError, "DECO")
    big = [np.full(81, 32768, np.int32), np.zeros(4, np.int32)]
    deco = _core.encode_ints(big, [2, 2], [None, None])
    refuse(with_section(b"DECO", deco), CorruptSectionError, "magnitude at most 32767.*32768")


# Pieces of graph sections: no decoders, an input "x" of 3 values.
START = b"\x00" + b"\x01x" + b"\x01\x03"
RELU = b"\x06\x01y\x01"
END = b"\x01\x00"
ONE_DECODER = b"\x01" + b"\x01d\x09\x00" + b"\x01x" + b"\x03\x01\x04\x04"


@pytest.mark.parametrize(
    ("grph", "kind", "message"),
    [
        (b"", CorruptSectionError, "1 more bytes"),
        (START + b"\x01" + RELU + END + b"\0", CorruptSectionError, "end of the section"),
        (START + b"\x01" + RELU + b"\x01", CorruptSectionError, "more bytes"),
        (START + b"\x81\x00" + RELU + END, CorruptSectionError, "shortest form"),
        (START + b"\x80" * 9 + b"\x01", CorruptSectionError, "longer integer"),
        (START + b"\x81\x80\x04", LimitExceededError, "node count of at most 65536"),
        (b"\x00\x01x\x07\x03\x03", CorruptSectionError, "rank 7"),
        (b"\x00\x01x\x20\x03\x03", LimitExceededError, "rank"),
        (b"\x00\x01x\x01\x00", CorruptSectionError, "input dimension"),
        (b"\x00\x01x\x01" + OVER, LimitExceededError, "input dimension"),
        (b"\x00\x00\x01\x03", CorruptSectionError, "empty string"),
        (b"\x00\x02\xc3\x28\x01\x03", CorruptSectionError, "UTF-8"),
        (b"\x00\x81\x08", LimitExceededError, "length of input name"),
        (b"\x81\x02", LimitExceededError, "decoder count"),
        (b"\x02\x01d\x09\x00\x01d\x09\x00", CorruptSectionError, "no other has"),
        (b"\x01\x01d\x00", CorruptSectionError, "slice length"),
        (b"\x01\x01d\x81\x02", LimitExceededError, "slice length"),
        (b"\x01\x01d\x09\xfd\x01", LimitExceededError, "exponent"),
        (START + b"\x01\x0f\x7f\x01y\x01" + END, CorruptSectionError, "operator code"),
        (START + b"\x01\x06\x01x\x01" + END, CorruptSectionError, "no other value"),
        (START + b"\x02" + RELU + b"\x06\x01\x00\x01" + END, CorruptSectionError, "no other value"),
        (START + b"\x02" + RELU + b"\x06\x02\x01z\x01" + END, CorruptSectionError, "prefix"),
        (START + b"\x01\x06\x01y\x00" + END, CorruptSectionError, "input reference"),
        (START + b"\x01\x06\x01y\x02" + END, CorruptSectionError, "input reference"),
        (START + b"\x01\x46\x01y\x01" + END, CorruptSectionError, "no weight"),
        (START + b"\x01\x16\x01y\x01" + END, CorruptSectionError, "no weight"),
        (START + b"\x01" + RELU + b"\x00", CorruptSectionError, "output count"),
        (START + b"\x01" + RELU + b"\x01\x02", CorruptSectionError, "output reference"),
        (START + b"\x01\x02\x01y\x01\x02", CorruptSectionError, "pooling flags"),
        (START + b"\x01\x03\x01y\x01\x10", CorruptSectionError, "pooling flags"),
        (START + b"\x01\x02\x01y\x01\x00\x00", CorruptSectionError, "kernel"),
        (START + b"\x01\x20\x01y\x01\x20", CorruptSectionError, "convolution flags"),
        (START + b"\x01\x20\x01y\x01\x01\x00", CorruptSectionError, "input channels"),
        (START + b"\x01\x20\x01y\x01\x01\x01" + OVER, LimitExceededError, "output channels"),
        (START + b"\x01\x20\x01y\x01\x11\x04\x06\x03\x03", CorruptSectionError, "multiples"),
        (START + b"\x01\x20\x01y\x01\x01\x01\x01\x81\x08", LimitExceededError, "kernel"),
        (START + b"\x01\x01\x01y\x01\x03\x03", CorruptSectionError, "weight of kind"),
        (START + b"\x01\x31\x01y\x01\x03\x03", CorruptSectionError, "weight of kind"),
        (START + b"\x01\x11\x01y\x01\x03\x03\x00", CorruptSectionError, "a decoder"),
        (START + b"\x01\x21\x01y\x01\x03\x03\x0a", CorruptSectionError, "within 0..9"),
        (ONE_DECODER + b"\x01\x10\x01y\x01\x01\x01\x02\x05\x00\x00", CorruptSectionError, "of 25"),
        (ONE_DECODER + b"\x01\x10\x01y\x01\x01\x01\x02\x03\x01\x00", CorruptSectionError, "index"),
        (
            ONE_DECODER + b"\x01\x10\x01y\x01\x01\x01\x02\x03\x00\x03",
            CorruptSectionError,
            "within 0..2",
        ),
        (START + b"\x01\x21\x01y\x01" + BIG + BIG + b"\x00", LimitExceededError, "dense weights"),
        (
            b"\x01\x01d\x01\x00\x01x\x01\x03\x01\x11\x01y\x01" + BIG + BIG + b"\x00\x00",
            LimitExceededError,
            "latents",
        ),
    ],
)
def test_graph(refuse, grph, kind, message):
    refuse(assemble([(b"GRPH", grph)]), kind, message)


def test_side_values_have_a_cap(refuse):
    node = b"\xe1%b\x01\x01" + BIG + b"\x00"
    names = [b"\x01a", *(b"\x00\x01" + bytes([98 + i]) for i in range(8))]
    nodes = b"".join(node.replace(b"%b", name) for name in names)
    grph = b"\x00\x01x\x01\x01" + bytes([len(names)]) + nodes + END
    refuse(assemble([(b"GRPH", grph)]), LimitExceededError, "side values")


def test_huge_declarations_allocate_nothing(tmp_path):
    """A tiny file that declares 2**28 latents is refused before they touch memory."""
    grph = (
        b"\x01\x01d\x01\x00\x01x\x01" + b"\x80\x80\x01"
        b"\x01\x11\x01y\x01" + b"\x80\x80\x01" + b"\x80\x80\x01" + b"\x00"
    )
    data = assemble(
        [
            (b"GRPH", grph + b"\x80\x80\x80\x80\x01" + END),
            (b"DECO", _core.encode_ints([np.array([1], np.int32)], [2], [None])),
            (b"LATS", b"\x01\x01\x04abcd"),
        ]
    )
    (tmp_path / "bad.lnx").write_bytes(data)
    # In a process of its own, whose peak of memory is not that of another test.
    script = """
import resource, sys
from lilnetx.errors import CorruptSectionError
from lilnetx.format import read_lnx
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
try:
    read_lnx(sys.argv[1])
except CorruptSectionError as error:
    print(peak() - before, error)
"""
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "bad.lnx")],
        capture_output=True,
        text=True,
        check=True,
    )
    kilobytes, _, message = run.stdout.partition(" ")
    assert "ends before its integers do" in message
    assert int(kilobytes) < 50_000


def test_inspect_refuses_shapes_that_do_not_fit(tmp_path):
    (tmp_path / "bad.lnx").write_bytes(
        assemble([(b"GRPH", START + b"\x01\x02\x01y\x01\x00\x02\x02\x02\x02\x00\x00" + END)])
    )
    with pytest.raises(CorruptSectionError, match="GRPH"):
        inspect_lnx(tmp_path / "bad.lnx")


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**32, 2**56 - 1])
def test_integers_come_back(value):
    sink = Sink()
    sink.varint(value)
    sink.zigzag(value)
    sink.zigzag(-value)
    cursor = Cursor(sink.getvalue(), "file", "part", 0)
    assert cursor.varint("x", 2**60) == value
    assert cursor.zigzag("x", 2**60) == value
    assert cursor.zigzag("x", 2**60) == -value
    cursor.finish()


def test_messages_say_where_and_what(tmp_path):
    (tmp_path / "bad.lnx").write_bytes(with_section(b"RAWF", bytes(44)))
    with pytest.raises(
        CorruptSectionError,
        match=r"bad\.lnx: RAWF at byte \d+: expected 48 bytes, found 44; the file is damaged",
    ):
        read_lnx(tmp_path / "bad.lnx")


def test_long_numbers_in_tests_are_what_they_say():
    assert varint(300) == b"\xac\x02"
    assert int.from_bytes(bytes([BIG[0] & 127, BIG[1] & 127, BIG[2]]), "little") == 0x400000
