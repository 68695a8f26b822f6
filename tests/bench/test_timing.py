import pytest

from lilnetx.bench import timing
from lilnetx.bench.timing import alternate


class FakeClock:
    """Time that passes only when contenders say so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.cpu = 0.0
        self.slept = 0.0
        self.order: list[str] = []

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.cpu

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds

    def contender(self, name: str, *milliseconds: float):
        """Takes the given times in turn."""
        count = 0

        def call() -> None:
            nonlocal count
            self.order.append(name)
            self.now += milliseconds[count % len(milliseconds)] / 1e3
            count += 1

        return call


@pytest.fixture
def clock(monkeypatch):
    fake = FakeClock()
    monkeypatch.setattr(timing, "time", fake)
    return fake


def test_times_are_per_call_and_short_calls_are_repeated(clock):
    result = alternate(
        {"short": clock.contender("short", 0.3), "long": clock.contender("long", 50.0)},
        seconds=0.0,
    )
    assert result["short"].median_ms == pytest.approx(0.3)
    assert result["short"].calls == 7  # 7 x 0.3 ms is the first to reach 2 ms
    assert result["long"].median_ms == pytest.approx(50.0)
    assert result["long"].calls == 1
    assert result["long"].rounds == 20


def test_percentiles_show_the_spread(clock):
    times = [float(t) for t in range(100, 151)]
    timings = alternate({"a": clock.contender("a", *times)}, seconds=0.0, min_rounds=51)
    assert timings["a"].median_ms == pytest.approx(125.0)
    assert timings["a"].p20_ms == pytest.approx(110.0)
    assert timings["a"].p80_ms == pytest.approx(140.0)


def test_contenders_take_turns_in_changing_order(clock):
    names = ("a", "b", "c")
    alternate({name: clock.contender(name, 30.0) for name in names}, seconds=0.0)
    rounds = [tuple(clock.order[-60:][i : i + 3]) for i in range(0, 60, 3)]
    assert all(sorted(r) == list(names) for r in rounds)
    assert len(set(rounds)) > 2


def test_it_goes_on_for_the_time_asked_for(clock):
    timings = alternate({"a": clock.contender("a", 40.0)}, seconds=4.0)
    assert timings["a"].rounds == 100


def test_a_short_call_is_preceded_by_an_untimed_one(clock):
    # Every other call is slow: with an untimed slow call before each measurement of one fast call,
    # only fast ones are timed.
    call = clock.contender("a", 19.0, 5.0)
    for _ in range(2):  # 3 warm-up and 3 trial calls follow: the next call is a slow one
        call()
    timings = alternate({"a": call}, seconds=0.0)
    assert timings["a"].median_ms == timings["a"].p80_ms == pytest.approx(5.0)


def test_rests_come_before_each_measurement(clock):
    alternate({"a": clock.contender("a", 5.0)}, seconds=0.0, rest_ms=10.0)
    assert clock.slept == pytest.approx(20 * 0.010)


def test_long_calls_are_warmed_up_once(clock):
    alternate({"a": clock.contender("a", 900.0)}, seconds=0.0, min_rounds=4)
    assert len(clock.order) == 1 + 1 + 4  # warm-up, trial, rounds


def test_processor_time_shows_who_else_was_there(clock):
    def half() -> None:
        clock.now += 0.030
        clock.cpu += 0.015

    assert alternate({"a": half}, seconds=0.0)["a"].cpu_share == pytest.approx(0.5)


def test_progress_goes_from_nothing_to_all(clock):
    seen = []
    alternate({"a": clock.contender("a", 40.0)}, seconds=4.0, on_progress=seen.append)
    assert len(seen) == 100
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
