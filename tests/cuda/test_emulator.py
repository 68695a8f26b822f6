"""The emulator finds what is planted in a kernel, whatever the order of its threads."""

from __future__ import annotations

import numpy as np
import pytest
from emulated import SANITIZE, Jobs, Result

# In the order of planted.h.
BUGS = [
    "none", "global", "shared", "barrier", "divergent", "lane", "unchecked", "product", "fragment",
]  # fmt: skip
ORDERS = [0, 1, 2, 3]
VALUES = np.arange(1, 101, dtype=np.float32)
MATRICES = np.random.default_rng(0).integers(-8, 9, 16 * 8 + 8 * 8).astype(np.float32)


def run(bug: str, order: int, values: np.ndarray = VALUES) -> Result:
    jobs = Jobs()
    jobs.add("planted", BUGS.index(bug), values, order=order)
    (result,) = jobs.run()
    return result


def reversed_sums() -> np.ndarray:
    padded = np.zeros(128, np.float32)
    padded[: len(VALUES)] = VALUES
    mirrored = padded.reshape(2, 64)[:, ::-1]
    sums = mirrored.reshape(2, 4, 16).sum(axis=2).repeat(16, axis=1)
    return (mirrored + sums).ravel()[: len(VALUES)]


@pytest.mark.parametrize("order", ORDERS)
def test_nothing_planted(order: int) -> None:
    output = run("none", order).values(np.float32)
    np.testing.assert_array_equal(output[:-1], reversed_sums())
    assert output[-1:].view(np.int32) == 2


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("bug", "message"),
    [
        ("global", r"global read of 4 bytes out of bounds, \d+ bytes from the begin of the input"),
        ("shared", "shared write of 4 bytes out of bounds, 256 bytes from the begin of 256"),
        ("barrier", "without a barrier in between|which nothing has written"),
        ("divergent", r"divergent barrier: .*waits for the block at line \d+.*has ended"),
        ("lane", r"wrong lane: a shuffle at line \d+ reads lane \d+, which takes no part"),
    ],
)
def test_planted_bug(bug: str, message: str, order: int) -> None:
    result = run(bug, order)
    assert not result.output
    with pytest.raises(AssertionError, match=message):
        result.values(np.float32)


def test_fragments_of_a_wrong_lane_give_a_wrong_product() -> None:
    """What no check of accesses can see: the result alone tells."""
    a, b = MATRICES[:128].reshape(16, 8), MATRICES[128:].reshape(8, 8)
    right = run("product", 0, MATRICES).values(np.float32)[:128].reshape(16, 8)
    np.testing.assert_array_equal(right, a @ b)
    wrong = run("fragment", 0, MATRICES).values(np.float32)[:128].reshape(16, 8)
    assert (wrong != a @ b).mean() > 0.5


def test_the_emulator_goes_on_after_a_mistake() -> None:
    jobs = Jobs()
    for bug in ("barrier", "none", "divergent", "none"):
        jobs.add("planted", BUGS.index(bug), VALUES)
    *_, last = jobs.run()
    np.testing.assert_array_equal(last.values(np.float32)[:-1], reversed_sums())


@pytest.mark.skipif(SANITIZE != "thread", reason="needs ThreadSanitizer: run 'make sanitize'")
def test_thread_sanitizer_sees_a_missing_barrier() -> None:
    with pytest.raises(AssertionError, match="data race"):
        run("unchecked", 0)
