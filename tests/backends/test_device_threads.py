"""Several threads on the sessions of a GPU, on stand-ins that leave them time to meet."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from fake_cuda import FakeCuda

from lilnetx.graph import ir

torch = pytest.importorskip("torch", reason="torch is not installed: devices need it")

from lilnetx.backends import session as sessions  # noqa: E402
from lilnetx.backends.capture import CapturedNetwork  # noqa: E402

THREADS, RUNS = 4, 25
WHILE = 2e-4  # seconds in which another thread gets its turn


def captured(cuda):
    """A network that doubles its input, in a graph."""

    def run(x):
        out = torch.empty_like(x)

        def kernel():
            time.sleep(WHILE)
            torch.mul(x, 2, out=out)

        cuda.start(kernel)
        return (out,)

    return CapturedNetwork(run, cuda)


@pytest.fixture
def session(monkeypatch):
    """A session of the GPU's class in the CPU's memory; float16, so that results are copied out."""
    monkeypatch.setattr(sessions, "open_device", lambda _: torch.device("cpu"))
    graph = ir.Graph("x", (3,), (ir.Node("relu", ir.Relu(), ("x",)),), ("relu",))
    return sessions.DeviceSession(graph, dtype="float16", tune=True)


def in_threads(work):
    """Calls ``work(0)``, ``work(1)`` and so on at once.

    Raises:
        BaseException: What the first call that failed raised.
    """
    start, errors = threading.Barrier(THREADS), []

    def call(number):
        start.wait()
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error


def test_each_thread_gets_its_own_results(session):
    cuda = FakeCuda()
    session._call = captured(cuda)

    def work(number):
        for run in range(RUNS):
            value = float(number * RUNS + run)
            y = session.run(np.full((2, 3), value, np.float32))
            assert (y == 2 * value).all()

    in_threads(work)
    (graph,) = cuda.graphs  # recorded once, whoever came first
    assert graph.replayed == THREADS * RUNS


def test_one_thread_at_a_time(session, monkeypatch):
    """All methods that run the network: to run, plan, tune or measure it."""
    network, inside = session._device_network, []
    walk = network._walk

    def alone(*arguments):
        inside.append(threading.get_ident())
        time.sleep(WHILE)
        assert set(inside) == {threading.get_ident()}
        result = walk(*arguments)
        inside.remove(threading.get_ident())
        return result

    monkeypatch.setattr(network, "_walk", alone)
    tuned = []
    tune = network.tune
    monkeypatch.setattr(network, "tune", lambda *x: (tuned.append(x[0].shape), tune(*x)))

    def work(number):
        batch = np.zeros((2, 3), np.float32)
        calls = [
            lambda: session.run(batch),
            lambda: session.run_on_device(torch.zeros(2, 3, dtype=torch.float16)),
            lambda: session.plan_for(2),
            lambda: session.profile(batch, repeats=1),
        ]
        for turn in range(2 * len(calls)):
            calls[(number + turn) % len(calls)]()

    in_threads(work)
    assert tuned == [(2, 3)]


def test_networks_are_recorded_one_after_the_other():
    cuda = FakeCuda()
    networks = [captured(cuda) for _ in range(THREADS)]

    def work(number):
        for size in range(1, 5):
            x = torch.full((size,), float(number))
            assert networks[number](x)[0].tolist() == [2.0 * number] * size

    in_threads(work)
    assert len(cuda.graphs) == 4 * THREADS
