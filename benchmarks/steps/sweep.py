"""Latency against density: ResNet-50 at batch 1, with dense engines in the same alternating run."""

from __future__ import annotations

from collections.abc import Sequence

from lilnetx.bench.contenders import make_contender
from lilnetx.bench.timing import alternate
from lilnetx.runtime import Session
from steps.prepared import NETWORK, check, network, network_input
from steps.results import Context, disturbance, timing_columns

DENSITIES = (0.05, 0.1, 0.19, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


def run(context: Context) -> str:
    densities = (0.19, 1.0) if context.quick else DENSITIES
    graph = network(context, densities[0])
    x = network_input(graph, 1)
    calls = {}
    for i, density in enumerate(densities):
        context.progress(0.3 * i / len(densities), f"density {density}")
        session = Session(network(context, density), threads=1, tune=context.tune)
        check(session, x)
        calls[f"{density}"] = lambda session=session: session.run(x)
    dense = []
    for name in context.dense_engines:
        context.progress(0.3, f"preparing {name}")
        # Dense engines compute the same whatever the weights are.
        dense.append(make_contender(name, graph, x, 1))
    context.progress(0.5, "timing")
    timings = alternate(
        {**calls, **{c.name: c.call for c in dense}},
        seconds=0.01 if context.quick else 30.0,
        min_rounds=2 if context.quick else 20,
    )
    best = min(timings[c.name].median_ms for c in dense)
    rows = [
        {
            "contender": "lilnetx",
            "density": density,
            **timing_columns(timings[f"{density}"]),
            "times_fastest_dense": best / timings[f"{density}"].median_ms,
        }
        for density in densities
    ]
    ratios = [best / timings[f"{density}"].median_ms for density in densities]
    rows += [
        {
            "contender": c.name,
            "density": None,
            **timing_columns(timings[c.name]),
            "times_fastest_dense": best / timings[c.name].median_ms,
        }
        for c in dense
    ]
    crossover = find_crossover(densities, ratios)
    facts = {
        "network": NETWORK,
        "batch": 1,
        "threads": 1,
        "isa": session.isa,
        "crossover_density": crossover,
        "least_times_fastest_dense": min(ratios),
        "contenders": [
            {"name": c.name, "version": c.version, "settings": c.settings} for c in dense
        ],
    }
    context.write("sweep", rows, facts)
    where = "none" if crossover is None else f"at density {crossover:.2f}"
    summary = f"crossover {where}, never below {min(ratios):.2f} times the fastest dense engine"
    return summary + disturbance(timings.values())


def find_crossover(densities: Sequence[float], ratios: Sequence[float]) -> float | None:
    """The density up to which we are faster, by straight lines between the measured ones.

    Args:
        densities: Ascending.
        ratios: How many times as fast as the fastest dense engine at each.

    Returns:
        The first density at which the ratio falls to 1; None if it never does.
    """
    if ratios[0] <= 1:
        return densities[0]
    for i in range(1, len(ratios)):
        if ratios[i] <= 1:
            share = (ratios[i - 1] - 1) / (ratios[i - 1] - ratios[i])
            return densities[i - 1] + share * (densities[i] - densities[i - 1])
    return None
