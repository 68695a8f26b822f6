import itertools
import math

import pytest

pytest.importorskip("torch", reason="torch is not installed: a sweep's settings need it")

from lilnetx.errors import UsageError
from lilnetx.sweep.space import Choices, Range, Space


def test_ranges_and_lists_are_read():
    space = Space.parse(["rate=0.1..3", "target-bytes=8000,16000", "epochs=2..8"])
    assert space.dimensions == {
        "rate": Range(0.1, 3.0),
        "target_bytes": Choices((8000, 16000)),
        "epochs": Range(2, 8),
    }
    told = space.as_json()
    assert Space.parse([f"{k}={v}" for k, v in told.items()]).dimensions == space.dimensions


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate", "expected NAME=LOW..HIGH"),
        ("rates=1,2", "NAME is one of .*rate"),
        ("network=resnet20,resnet32", "NAME is one of"),
        ("dense=0,1", "NAME is one of"),
        ("rate=", "expected numbers"),
        ("rate=a..b", "expected numbers"),
        ("rate=1,nan", "expected numbers"),
        ("rate=1,1", "without repetitions"),
        ("epochs=1.5,2", "expected whole numbers"),
        ("rate=3..1", "must rise"),
        ("rate=1..inf", "must rise"),
    ],
)
def test_what_cannot_be_varied_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        Space.parse([text])


def test_a_setting_is_varied_once_and_one_at_least():
    with pytest.raises(UsageError, match="varied already"):
        Space.parse(["rate=1,2", "rate=0.1..3"])
    with pytest.raises(UsageError, match="give --vary"):
        Space.parse([])


def test_lists_are_a_grid():
    space = Space.parse(["rate=1,2,3", "slices=0.5,5"])
    assert space.grid_size == 6
    points = [tuple(space.point(slot).values()) for slot in range(6)]
    assert points == [(1, 0.5), (1, 5), (2, 0.5), (2, 5), (3, 0.5), (3, 5)]


def test_the_first_trials_of_a_range_are_spread_evenly_and_later_ones_left_to_the_sampler():
    space = Space.parse(["rate=0.01..100"])
    logs = sorted(math.log10(space.point(slot)["rate"]) for slot in range(10))
    assert -2 <= logs[0] < -1
    assert 1 < logs[-1] <= 2
    # Evenly spread would be 0.4 apart.
    assert max(b - a for a, b in itertools.pairwise(logs)) < 0.8
    assert space.point(10) == {}


def test_points_lie_within_their_values():
    space = Space.parse(["epochs=1..5", "distill=0..1", "rate=1,2", "slices=0.2..9"])
    for slot in range(10):
        point = space.point(slot)
        assert point["epochs"] in range(1, 6)
        assert 0 <= point["distill"] <= 1
        assert point["rate"] in (1.0, 2.0)
        assert 0.2 <= point["slices"] <= 9
