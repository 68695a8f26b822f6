from __future__ import annotations

import numpy as np
import pytest

from lilnetx import _core
from lilnetx.reference import codec as reference


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        # From RFC 3720, B.4.
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_known_values(data, expected):
    assert _core.crc32c(data) == expected
    assert reference.crc32c(data) == expected


def test_pieces_and_views():
    data = np.random.default_rng(0).bytes(1000)
    whole = _core.crc32c(data)
    assert whole == reference.crc32c(data)
    for cut in (0, 1, 7, 8, 9, 500, 1000):
        assert _core.crc32c(memoryview(data)[cut:], _core.crc32c(data[:cut])) == whole


def test_only_plain_bytes():
    with pytest.raises(ValueError, match="contiguous"):
        _core.crc32c(memoryview(b"abcdef")[::2])
