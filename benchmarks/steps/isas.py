"""One network by every instruction set that this machine has, in one alternating run."""

from __future__ import annotations

from lilnetx import _core
from lilnetx.bench.peak import measure_peak
from lilnetx.bench.timing import alternate
from lilnetx.runtime import Session
from steps.prepared import NETWORK, check, network, network_input
from steps.results import Context, disturbance, timing_columns

DENSITY = 0.19


def run(context: Context) -> str:
    context.progress(0.0, "preparing")
    graph = network(context, DENSITY)
    x = network_input(graph, 1)
    sessions = {
        isa: Session(graph, threads=1, isa=isa, tune=context.tune) for isa in _core.available_isas()
    }
    for session in sessions.values():
        check(session, x)
    peaks = {isa: measure_peak(isa) for isa in sessions}
    context.progress(0.2, "timing")
    timings = alternate(
        {isa: (lambda s=session: s.run(x)) for isa, session in sessions.items()},
        seconds=0.01 if context.quick else 12.0,
        min_rounds=2 if context.quick else 20,
    )
    fastest = min(timing.median_ms for timing in timings.values())
    rows = [
        {
            "isa": isa,
            **timing_columns(timing),
            "share_of_fastest": fastest / timing.median_ms,
            "fma_gflops": peaks[isa].gflops,
        }
        for isa, timing in timings.items()
    ]
    facts = {"network": NETWORK, "density": DENSITY, "batch": 1, "threads": 1}
    context.write("isas", rows, facts)
    times = ", ".join(f"{isa} {timing.median_ms:.1f} ms" for isa, timing in timings.items())
    return times + disturbance(timings.values())
