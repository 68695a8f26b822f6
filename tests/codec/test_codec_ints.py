from __future__ import annotations

import numpy as np
import pytest

from lilnetx import _core
from lilnetx.reference import side_codec as reference

LIMIT = 2**23 - 1


def random_vectors(seed):
    rng = np.random.default_rng(seed)
    vectors = [
        np.rint(rng.normal(0, 10 ** rng.uniform(0, 6), int(rng.integers(0, 60))))
        .clip(-LIMIT, LIMIT)
        .astype(np.int32)
        for _ in range(5)
    ]
    kinds = [int(kind) for kind in rng.integers(0, 4, 5)]
    live = [
        None if rng.random() < 0.5 else (rng.random(vector.size) < 0.5).astype(np.uint8)
        for vector in vectors
    ]
    return vectors, kinds, live


def decode(data, vectors, kinds, live):
    out = [np.full_like(vector, 99) for vector in vectors]
    return _core.decode_ints(data, out, kinds, live), out


@pytest.mark.parametrize("seed", range(20))
def test_cpp_and_python_agree_both_ways(seed):
    vectors, kinds, live = random_vectors(seed)
    data = reference.encode_ints(vectors, kinds, live)
    assert _core.encode_ints(vectors, kinds, live) == data
    defect, by_cpp = decode(data, vectors, kinds, live)
    assert defect is None
    by_python = reference.decode_ints(data, [v.size for v in vectors], kinds, live)
    for vector, cpp, python in zip(vectors, by_cpp, by_python, strict=True):
        np.testing.assert_array_equal(cpp, vector)
        np.testing.assert_array_equal(python, vector)


def test_pinned_bytes():
    vectors = [np.array([0, 1, -2, 1000, 1023, 0, 0], np.int32), np.array([-LIMIT, 7], np.int32)]
    live = [np.array([1, 1, 1, 1, 1, 0, 0], np.uint8), None]
    assert _core.encode_ints(vectors, [0, 2], live).hex() == PINNED


PINNED = "8067b8ac6da7c1fcd6e93d"


def test_nothing_takes_no_bytes():
    assert _core.encode_ints([], [], []) == b""
    assert _core.decode_ints(b"", [], [], []) is None
    assert _core.decode_ints(b"\1", [], [], []) is not None


def test_dead_filters_with_zero_scales_cost_next_to_nothing():
    rng = np.random.default_rng(0)
    live = (rng.random(2000) < 0.5).astype(np.uint8)
    values = (rng.integers(500, 2000, 2000) * live).astype(np.int32)
    known = len(_core.encode_ints([values], [0], [live]))
    alone = len(_core.encode_ints([values[live == 1]], [0], [None]))
    assert known < alone + 40
    assert known + 150 < len(_core.encode_ints([values], [0], [None]))


@pytest.mark.parametrize("value", [LIMIT + 1, -LIMIT - 1, -(2**31)])
def test_encoder_refuses_large_values(value):
    with pytest.raises(ValueError, match="outside the limits"):
        _core.encode_ints([np.array([value], np.int32)], [0], [None])


def test_wrong_arguments_are_refused():
    vector = np.zeros(3, np.int32)
    with pytest.raises(ValueError, match="shape, model or count"):
        _core.encode_ints([vector], [4], [None])
    with pytest.raises(ValueError, match="one kind"):
        _core.encode_ints([vector], [], [None])
    with pytest.raises(ValueError, match="equal length"):
        _core.encode_ints([vector], [0], [np.zeros(2, np.uint8)])
    with pytest.raises(ValueError, match="uint8"):
        _core.encode_ints([vector], [0], [np.zeros(3, bool)])
    with pytest.raises(ValueError, match="int32"):
        _core.decode_ints(b"", [np.zeros(3, np.int64)], [0], [None])


def test_truncations_and_extensions_are_refused_or_mean_something_else():
    vectors, kinds, live = random_vectors(3)
    data = _core.encode_ints(vectors, kinds, live)
    for other in [*(data[:size] for size in range(len(data))), data + b"\0", data + b"\1"]:
        defect, out = decode(other, vectors, kinds, live)
        same = all((a == b).all() for a, b in zip(out, vectors, strict=True))
        assert defect is not None or not same


def test_random_bytes_never_harm():
    rng = np.random.default_rng(1)
    vectors, kinds, live = random_vectors(1)
    for _ in range(500):
        size = int(rng.integers(0, 300))
        data = rng.bytes(size) if rng.random() < 0.8 else bytes([int(rng.choice([0, 255]))]) * size
        _, out = decode(data, vectors, kinds, live)
        assert max(int(np.abs(vector).max(initial=0)) for vector in out) <= LIMIT
