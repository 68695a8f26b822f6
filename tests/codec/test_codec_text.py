from __future__ import annotations

import numpy as np
import pytest

from lilnetx import _core
from lilnetx.reference import side_codec as reference

TEXTS = [
    b"",
    b"a",
    bytes(1000),
    b"stages.0.conv1 stages.0.conv2 stages.1.conv1 stages.1.conv2 " * 8,
    np.random.default_rng(0).bytes(700),
    bytes(range(256)) * 2,
]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_cpp_and_python_agree_both_ways(text):
    data = reference.encode_text(text)
    assert _core.encode_text(text) == data
    assert _core.decode_text(data, len(text)) == text
    assert reference.decode_text(data, len(text)) == text


def test_pinned_bytes():
    assert _core.encode_text(b"conv1 conv2 conv3 conv4").hex() == PINNED


PINNED = "638c98c99c06723ba2515e91"


def test_what_repeats_takes_little_and_noise_hardly_more_than_itself():
    assert len(_core.encode_text(TEXTS[3])) < len(TEXTS[3]) / 8
    assert len(_core.encode_text(TEXTS[4])) < len(TEXTS[4]) * 1.05


def test_other_streams_are_refused_or_mean_something_else():
    text = TEXTS[3][:100]
    data = _core.encode_text(text)
    others = [data[:size] for size in range(len(data))] + [data + b"\0", data + b"\1"]
    others += [
        bytes([*data[:at], data[at] ^ 1 << bit, *data[at + 1 :]])
        for at in range(len(data))
        for bit in range(8)
    ]
    refused = [isinstance(_core.decode_text(other, len(text)), str) for other in others]
    assert all(_core.decode_text(other, len(text)) != text for other in others)
    assert sum(refused) > 0.9 * len(others)
    # A last byte that was foreseen may take nothing.
    for count in (0, 1, len(text) // 2, 4 * len(text)):
        assert isinstance(_core.decode_text(data, count), str)


def test_random_bytes_never_harm():
    rng = np.random.default_rng(1)
    for _ in range(300):
        found = _core.decode_text(rng.bytes(int(rng.integers(0, 60))), int(rng.integers(0, 3000)))
        assert isinstance(found, str) or len(found) < 3000
