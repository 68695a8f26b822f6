"""The search for a size, on stand-ins whose size is a known function of the price."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest

pytest.importorskip("torch", reason="the networks that are searched are torch's")

from lilnetx.errors import CompressionError
from lilnetx.packing.calibrate.network import Candidate
from lilnetx.packing.calibrate.search import find_size

LARGEST = 80.0


@dataclass
class StandIn:
    """A network of 1000 weights.

    Attributes:
        start: Logarithm of the price of its finest integers.
        first: Logarithm of the price at which its size begins to fall.
        slope: Bytes that each doubling of the price saves from there on.
        tried: Logarithms of the prices that were asked for.
    """

    start: float
    first: float
    slope: float = 62.5  # half a bit of each weight, as theory has it
    weights: int = 1000
    tried: list[float] = field(default_factory=list)

    def cost_for(self, bits: float) -> float:
        return 2.0**self.start

    def at(self, bit_cost: float) -> Candidate:
        self.tried.append(math.log2(bit_cost))
        size = 2000 - self.slope * max(self.tried[-1] - self.first, 0)
        return Candidate(bit_cost, None, max(300, round(size)))


@pytest.mark.parametrize("flat", [0, 2, 5])
@pytest.mark.parametrize("target", [1990, 1500, 700])
def test_a_size_is_found_wherever_it_begins_to_change(flat, target):
    network = StandIn(-50, -50 + flat)
    assert 0.95 * target <= find_size(network, target, lambda done: None).size <= target
    assert len(network.tried) <= 16


@pytest.mark.parametrize("slope", [62.5, 0.5, 0.0])
def test_none_is_said_to_be_too_small_before_the_largest_price(slope):
    network = StandIn(-160, -160, slope)
    smallest = max(300, round(2000 - 240 * slope))
    with pytest.raises(CompressionError, match=rf"no file of 250 bytes .*: {smallest:,} bytes"):
        find_size(network, 250, lambda done: None)
    assert max(network.tried) == LARGEST
