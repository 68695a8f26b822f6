"""One thread against two, ours and the dense engines', in one alternating run for each batch."""

from __future__ import annotations

from lilnetx.bench.contenders import make_contender
from lilnetx.bench.timing import alternate
from lilnetx.runtime import Session
from steps.prepared import NETWORK, check, network, network_input
from steps.results import Context, timing_columns

DENSITY = 0.19
# Lets the threads of the contender before fall asleep.
_REST_MS = 10.0


def run(context: Context) -> str:
    graph = network(context, DENSITY)
    counts = (1, len(context.cores))
    sessions = {count: Session(graph, threads=count, tune=context.tune) for count in counts}
    # torch has one number of threads a process, and compiles for it: it is left out.
    engines = [name for name in context.dense_engines if name != "torch-compile"]
    rows: list[dict[str, object]] = []
    gains = []
    for i, batch in enumerate((1, 16)):
        context.progress(0.5 * i, f"batch {batch}: preparing")
        x = network_input(graph, batch)
        calls = {}
        for count, session in sessions.items():
            check(session, x)
            calls["lilnetx", count] = lambda s=session, x=x: s.run(x)
        for name in engines:
            for count in counts:
                calls[name, count] = make_contender(name, graph, x, count).call
        context.progress(0.5 * i + 0.2, f"batch {batch}: timing")
        timings = alternate(
            {f"{name} {count}": call for (name, count), call in calls.items()},
            seconds=0.01 if context.quick else 12.0,
            min_rounds=2 if context.quick else 7,
            rest_ms=_REST_MS,
        )
        for name, count in calls:
            timing = timings[f"{name} {count}"]
            scaling = timings[f"{name} 1"].median_ms / timing.median_ms
            rows.append(
                {
                    "contender": name,
                    "batch": batch,
                    "threads": count,
                    **timing_columns(timing),
                    "times_one_thread": scaling,
                }
            )
            if name == "lilnetx" and count > 1:
                gains.append({"batch": batch, "times_one_thread": scaling})
    facts = {
        "network": NETWORK,
        "density": DENSITY,
        "isa": sessions[1].isa,
        "cores": list(context.cores),
        "gains": gains,
    }
    context.write("threads", rows, facts)
    return ", ".join(f"batch {g['batch']}: {g['times_one_thread']:.2f} times one" for g in gains)
