"""The session's border: arguments, inputs, instruction sets, profiles."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from random_networks import residual_network

from lilnetx.errors import GraphError, InputError, IsaError
from lilnetx.graph.ir import Conv2d, Graph, Node
from lilnetx.runtime import Session, available_isas, available_threads
from lilnetx.runtime.isa import choose_isa


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(residual_network(0), threads=1)


def test_attributes(session):
    assert session.input_shape == (3, 30, 27)
    assert session.output_shapes == ((5,), (5,), (17, 2, 2))
    assert session.isa == available_isas()[0]
    assert session.threads == 1
    assert session.graph.input_name == "x"


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((1, 3, 30, 28), np.float32), "expected (N, 3, 30, 27)"),
        (np.zeros((3, 30, 27), np.float32), "expected (N, 3, 30, 27)"),
        (np.zeros((1, 3, 30, 27)), "float64, expected float32"),
        (np.zeros((1, 3, 30, 27), np.int64), "int64, expected float32"),
        ([[1.0]], "list, expected"),
    ],
    ids=["width", "no batch", "float64", "int64", "list"],
)
def test_wrong_inputs(session, x, words):
    with pytest.raises(InputError) as error:
        session.run(x)
    assert words in str(error.value)


def test_inputs_of_any_memory_order(session):
    x = np.random.default_rng(0).normal(size=(2, 3, 30, 27)).astype(np.float32)
    expected = session.run(x)
    reordered = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert not reordered.flags.c_contiguous
    for a, e in zip(session.run(reordered), expected, strict=True):
        assert np.array_equal(a, e)


def test_profile(session):
    x = np.zeros((2, 3, 30, 27), np.float32)
    rows = session.profile(x, repeats=3)
    assert [row.name for row in rows] == [step.name for step in session.plan.steps]
    assert all(row.ms >= 0 for row in rows)
    assert sum(row.ms for row in rows) > 0
    with pytest.raises(InputError):
        session.profile(x[:0])


def test_profile_with_threads():
    session = Session(residual_network(0), threads=2)
    rows = session.profile(np.zeros((1, 3, 30, 27), np.float32), repeats=2)
    assert len(rows) == len(session.plan.steps)


def test_threads():
    assert available_threads() >= 1
    assert Session(residual_network(0)).threads == available_threads()
    with pytest.raises(InputError, match="threads=0"):
        Session(residual_network(0), threads=0)


def test_every_isa_can_be_asked_for():
    for isa in available_isas():
        assert Session(residual_network(0), threads=1, isa=isa).isa == isa
    assert available_isas()[-1] == "portable"


def test_unknown_isa():
    with pytest.raises(IsaError, match=r"'sse9': this machine has .*portable"):
        Session(residual_network(0), isa="sse9")


def test_isa_by_environment(monkeypatch):
    monkeypatch.setenv("LILNETX_ISA", "portable")
    assert choose_isa() == "portable"
    assert choose_isa(available_isas()[0]) == available_isas()[0]
    monkeypatch.setenv("LILNETX_ISA", "neon")
    with pytest.raises(IsaError, match="LILNETX_ISA='neon'"):
        choose_isa()
    monkeypatch.setenv("LILNETX_ISA", "")
    assert choose_isa() == available_isas()[0]


def test_a_weight_that_is_missing():
    graph = Graph("x", (3, 8, 8), (Node("c", Conv2d(3, 4, (3, 3)), ("x",)),), ("c",))
    with pytest.raises(GraphError):
        Session(graph)


def test_runtime_needs_no_torch():
    code = "import lilnetx.runtime, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0


def run_script(code: str) -> None:
    """Runs it in a process of its own, which must end well and in time."""
    tests = os.path.dirname(os.path.abspath(__file__))
    path = os.pathsep.join([tests, os.path.dirname(tests), os.environ.get("PYTHONPATH", "")])
    script = [sys.executable, "-c", textwrap.dedent(code)]
    subprocess.run(script, env={**os.environ, "PYTHONPATH": path}, check=True, timeout=60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.parametrize("batch", [1, 5])
def test_a_forked_process_runs_and_drops_sessions(batch):
    run_script(
        f"""
        import os, signal
        import numpy as np
        from random_networks import residual_network
        from lilnetx.runtime import Session

        x = np.random.default_rng(0).normal(size=({batch}, 3, 30, 27)).astype(np.float32)
        session = Session(residual_network(0), threads=3)
        expected = session.run(x)

        def check(session):
            for a, e in zip(session.run(x), expected, strict=True):
                assert np.array_equal(a, e)

        child = os.fork()
        if child == 0:
            signal.alarm(20)  # so that a process that hangs is not left behind
            try:
                check(session)
                new = Session(residual_network(0), threads=3)
                check(new)
                check(session)
                del session, new
            except BaseException:
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        check(session)
        """
    )


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
def test_sessions_share_threads():
    run_script(
        """
        import os, threading, time
        import numpy as np
        from random_networks import residual_network
        from lilnetx.runtime import Session

        def threads():
            return len(os.listdir("/proc/self/task"))

        def falls_to(count):  # the system lists a thread for a moment after it was joined
            end = time.monotonic() + 10
            while threads() > count and time.monotonic() < end:
                time.sleep(0.01)
            return threads() <= count

        before = threads()
        sessions = [Session(residual_network(0), threads=4) for _ in range(5)]
        assert threads() == before + 3
        x = np.random.default_rng(0).normal(size=(5, 3, 30, 27)).astype(np.float32)
        expected = sessions[0].run(x)
        for session in sessions:
            session.run(x[:1])
        assert threads() == before + 3

        # Runs at once borrow different teams.
        wrong = []

        def work(session):
            for _ in range(20):
                for a, e in zip(session.run(x), expected, strict=True):
                    if not np.array_equal(a, e):
                        wrong.append(a)

        workers = [threading.Thread(target=work, args=(s,)) for s in sessions[:3]]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        assert not wrong
        assert falls_to(before + 9)
        del sessions, session, workers, w
        assert falls_to(before)
        """
    )


def test_packed_weights_are_let_go_once_they_are_laid_out():
    """Whoever held on to them would keep the network in memory twice."""
    session = Session(residual_network(0), threads=1, tune=False)
    graph, weights = session._open()
    assert weights
    session._prepare(graph, weights)
    assert not weights
