"""The page: sections, style and script in one file that needs nothing else."""

from __future__ import annotations

import json
from importlib import resources

from lilnetx import __version__
from lilnetx.cli.inspect import summary_json
from lilnetx.cli.picture import SECTION_COLOURS
from lilnetx.report.facts import ReportFacts
from lilnetx.report.html import text
from lilnetx.report.sections import (
    layers_section,
    maps_section,
    network_section,
    size_section,
    tiles,
)
from lilnetx.report.times import times_section

# Nothing may be loaded from anywhere: the browser holds the page to its promise to work offline.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def report_page(facts: ReportFacts) -> str:
    """The whole page.

    Args:
        facts: What it is about.

    Returns:
        An HTML document without any reference to another file. The element ``figures`` holds the
        JSON of ``lilnetx inspect --json --bytes``.
    """
    sections = [
        ("size", "Size", size_section(facts)),
        ("layers", "Computation", layers_section(facts)),
        ("times", "Time", times_section(facts.measurement)),
        ("maps", "Slices", maps_section(facts)),
        ("network", "Network", network_section(facts)),
    ]
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title, _ in sections)
    body = "".join(
        f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">{title}</h2>'
        f"{content}</section>\n"
        for key, title, content in sections
    )
    figures = summary_json(facts.summary, tuple(facts.layer_bytes.values()))
    # No tag may end inside of the script.
    data = json.dumps(figures).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{text(facts.name)} – LilNetX report</title>
<style>
{_asset("page.css")}{_section_colours()}</style>
</head>
<body>
<a class="skip" href="#size">Skip to the figures</a>
<header>
<p class="brand">LilNetX report</p>
<h1>{text(facts.name)}</h1>
{_origin(facts)}
<nav aria-label="Sections">{links}</nav>
</header>
<main>
{tiles(facts)}
{body}</main>
<footer>{_footer(facts)}</footer>
<script type="application/json" id="figures">{data}</script>
<script>
{_asset("page.js")}</script>
</body>
</html>
"""


def _asset(name: str) -> str:
    return (resources.files("lilnetx.report") / name).read_text(encoding="utf-8")


def _section_colours() -> str:
    return "".join(
        f".s-{name.lower()} {{ background: {colour}; }}\n"
        for name, colour in SECTION_COLOURS.items()
    )


def _origin(facts: ReportFacts) -> str:
    """One line on where the network comes from."""
    summary = facts.summary
    parts = [f"input {'×'.join(map(str, shape))}" for shape in facts.graph.inputs.values()]
    meta = summary.meta
    for title, key in (("trained on", "dataset"), ("made from", "source")):
        if isinstance(meta.get(key), str):
            parts.append(f"{title} {text(meta[key])}")
    parts.append(f"format version {summary.version}")
    line = f'<p class="origin">{" · ".join(parts)}</p>'
    if summary.synthetic:
        line += '<p class="warning">Synthetic weights: for timing only.</p>'
    return line


def _footer(facts: ReportFacts) -> str:
    made = f"Made by lilnetx {text(__version__)}"
    if facts.command:
        made += f": <code>{text(facts.command)}</code>"
    versions = ""
    if facts.measurement is not None:
        listed = ", ".join(f"{k} {v}" for k, v in facts.measurement.versions.items())
        versions = f"<p>Versions: {text(listed)}</p>"
    return f"<p>{made}</p>{versions}"
