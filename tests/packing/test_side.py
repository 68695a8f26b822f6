"""The fixed-point grid of scale and bias."""

from __future__ import annotations

import numpy as np
import pytest

from lilnetx.errors import PackError
from lilnetx.packing.side import shorten, snap


@pytest.mark.parametrize("bits", [1, 5, 12, 24])
@pytest.mark.parametrize("magnitude", [1e-30, 0.7, 0.9999, 1.0, 3e8])
def test_grid_and_error(bits, magnitude):
    rng = np.random.default_rng(bits)
    values = (rng.uniform(-1, 1, 100) * magnitude).astype(np.float32)
    values[:2] = 100 * magnitude, 0  # The grid is that of the many, whatever the largest value.
    snapped = snap(values, bits)
    assert snapped.dtype == np.float32
    assert snapped[1] == 0
    root_mean_square = np.sqrt(np.mean(values.astype(np.float64) ** 2))
    error = np.abs(snapped.astype(np.float64) - values)
    assert (error <= root_mean_square * 2.0 ** (1 - bits) + np.abs(values) * 2.0**-24).all()
    # All values are multiples of one power of two, between one and two such errors.
    unit = 2.0 ** (np.floor(np.log2(root_mean_square)) + 2 - bits)
    if bits <= 12:
        np.testing.assert_array_equal(snapped / unit, np.rint(snapped / unit))


def test_small_negative_values_become_plain_zero():
    snapped = snap(np.array([1.0, -1e-9], np.float32), 8)
    assert snapped[1] == 0
    assert not np.signbit(snapped[1])


def test_zero_bits_keep_float32():
    values = np.array([0.1, -3.3, 0], np.float64)
    np.testing.assert_array_equal(snap(values, 0), values.astype(np.float32))


def test_zeros_and_empty():
    np.testing.assert_array_equal(snap(np.zeros(3, np.float32), 12), np.zeros(3))
    assert snap(np.zeros(0, np.float32), 12).shape == (0,)


@pytest.mark.parametrize("bits", [-1, 25])
def test_bits_out_of_range(bits):
    with pytest.raises(PackError, match="side_bits"):
        snap(np.ones(3, np.float32), bits)


@pytest.mark.parametrize("bits", [1, 4, 24])
def test_each_value_is_shortened_by_itself(bits):
    rng = np.random.default_rng(bits)
    values = (rng.normal(0, 1, 100) * 10.0 ** rng.uniform(-20, 20, 100)).astype(np.float32)
    values[:2] = 0, -1e-3
    short = shorten(values, bits)
    assert short.dtype == np.float32
    assert short[0] == 0
    assert (np.abs(short - values) <= np.abs(values) * 2.0**-bits).all()
    mantissa = np.frexp(short.astype(np.float64))[0] * 2.0**bits
    np.testing.assert_array_equal(mantissa, np.rint(mantissa))
    np.testing.assert_array_equal(shorten(short, bits), short)


def test_zero_bits_keep_each_value():
    values = np.array([0.1, -3.3, 0], np.float64)
    np.testing.assert_array_equal(shorten(values, 0), values.astype(np.float32))


@pytest.mark.parametrize("bits", [-1, 25])
def test_bits_of_short_values_out_of_range(bits):
    with pytest.raises(PackError, match="side_bits"):
        shorten(np.ones(3, np.float32), bits)
