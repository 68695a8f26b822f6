"""The section of the page about times."""

from __future__ import annotations

from lilnetx.bench.report import MIN_CPU_SHARE
from lilnetx.report.html import Bar, Cell, bars, duration, name_cell, table, text
from lilnetx.report.measuring import TWIN, Measurement

_BAR_KINDS = {"lilnetx": "left", TWIN: "twin"}


def times_section(measurement: Measurement | None) -> str:
    """Times of the whole network and of its steps; how to get them where there are none."""
    if measurement is None:
        return (
            "<p>Not measured: the report was made with <code>--no-time</code>. Without it, each "
            "layer is timed beside the same layer with no weight left out.</p>"
        )
    threads = f"{measurement.threads} thread{'s' if measurement.threads > 1 else ''}"
    machine = measurement.machine
    return (
        f"<p>One image, float32, {threads}, medians of alternating calls, on "
        f"{text(machine['cpu'])} ({text(measurement.isa)}, {text(machine['system'])}). "
        f"The <b>{TWIN}</b> is the same "
        "network in the same runtime with a small random number in the place of each weight that "
        "is zero: what the network would cost if nothing were left out."
        f"{_others(measurement)}</p>{_disturbance(measurement)}{_networks(measurement)}"
        f"<h3>By layer, against the {TWIN}</h3>{_steps(measurement)}"
    )


def _others(measurement: Measurement) -> str:
    names = [row.name for row in measurement.networks[2:]]
    if not names:
        return " No other engine took part: none was asked for, or none is installed."
    return f" {text(' and '.join(names))} ran the whole network dense; layers were not timed there."


def _disturbance(measurement: Measurement) -> str:
    least = min(row.timing.cpu_share for row in measurement.networks)
    if measurement.threads > 1 or least >= MIN_CPU_SHARE:
        return ""
    return (
        '<p class="warning">Other processes took the core for up to '
        f"{100 * (1 - least):.0f} % of the time: these times are not worth quoting.</p>"
    )


def _networks(measurement: Measurement) -> str:
    ours = measurement.networks[0].timing.median_ms
    most = max(row.timing.median_ms for row in measurement.networks)
    rows = [
        [
            Cell(
                f"{text(row.name)} <small>{text(row.version)}</small>"
                f'<small class="settings">{text(row.settings)}</small>',
                number=False,
            ),
            bars([Bar(row.timing.median_ms / most, _BAR_KINDS.get(row.name, "other"))]),
            Cell(
                f'<span data-network="{text(row.name)}" data-value="{row.timing.median_ms}">'
                f"{duration(row.timing.median_ms)}</span>"
            ),
            Cell(f"{row.timing.median_ms / ours:.2f} ×"),
        ]
        for row in measurement.networks
    ]
    header = ("Whole network", "", "median", "relative")
    return table("Times of the whole network", header, rows, kind="chart", key="networks")


def _steps(measurement: Measurement) -> str:
    most = max(max(step.ms, step.dense_ms or 0.0) for step in measurement.steps) or 1.0
    rows = []
    for order, step in enumerate(measurement.steps):
        dense = step.dense_ms
        times = None if dense is None or step.ms <= 0 else dense / step.ms
        name = (
            step.name if step.op not in ("Input", "Output") else f"{step.name} ({step.op.lower()})"
        )
        rows.append(
            [
                name_cell(name, order),
                bars(
                    [Bar(step.ms / most, "left", step.kernel)],
                    [Bar((dense or 0.0) / most, "twin", TWIN)],
                ),
                Cell(duration(step.ms), step.ms),
                Cell("–" if dense is None else duration(dense), -1.0 if dense is None else dense),
                Cell("–" if times is None else f"{times:.2f} ×", -1.0 if times is None else times),
            ]
        )
    header = ("Layer", "", "this file", "dense", "faster")
    return f'<p><i class="key left"></i>this file <i class="key twin"></i>{TWIN}</p>' + table(
        "Times by layer", header, rows, kind="chart", key="times-by-layer"
    )
