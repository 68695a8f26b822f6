"""The sections of the page about what is in the file."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from lilnetx.cli.picture import SECTION_CONTENTS
from lilnetx.format import LayerBytes
from lilnetx.graph.cost import LayerStats
from lilnetx.report.drawing import MAX_BOXES, draw_network, operator_label
from lilnetx.report.facts import ReportFacts
from lilnetx.report.html import (
    Bar,
    Cell,
    bars,
    duration,
    name_cell,
    percent,
    short_bytes,
    short_count,
    shortened,
    table,
    text,
)
from lilnetx.report.measuring import TWIN
from lilnetx.report.slice_map import SliceMap, slice_map

# Room that pictures of slices are scaled up to, in CSS pixels.
_PICTURE = 216
_LEAST_HEIGHT = 14


def tiles(facts: ReportFacts) -> str:
    """The most important figures. Each carries the exact value as ``data-value``."""
    summary = facts.summary
    dense, size = summary.dense_fp32_bytes, summary.file_bytes
    bits = 8 * size / max(summary.parameters, 1)
    parts = [
        _tile("file_bytes", size, "File", f"{size:,} bytes", short_bytes(size)),
        _tile(
            "dense_fp32_bytes",
            dense,
            "As float32",
            f"{dense:,} bytes",
            f"{summary.parameters:,} parameters",
        ),
        _tile(
            "ratio", dense / size, "Smaller by", f"{dense / size:.1f} ×", "scales, graph and all"
        ),
        _tile("bits", bits, "A parameter takes", f"{bits:.2f} bits", "instead of 32"),
        _share_tile(
            "zero_slices_kxk", summary.zero_slices_kxk, summary.slices_kxk, "K×K slices zero"
        ),
        _share_tile(
            "zero_slices_1x1", summary.zero_slices_1x1, summary.slices_1x1, "1×1 slices zero"
        ),
        _share_tile("macs_left", summary.macs_left, summary.macs, "Multiply-adds left"),
    ]
    if facts.measurement is not None:
        ours, twin = facts.measurement.networks[:2]
        times = twin.timing.median_ms / ours.timing.median_ms
        parts.append(
            _tile(
                "median_ms",
                ours.timing.median_ms,
                "One image",
                duration(ours.timing.median_ms),
                f"{times:.2f} times as fast as its {TWIN}",
            )
        )
    return f'<dl class="tiles">{"".join(parts)}</dl>'


def _tile(key: str, value: float, title: str, shown: str, note: str) -> str:
    figure, *unit = shown.split(maxsplit=1)
    small = "".join(f" <small>{text(part)}</small>" for part in unit)
    return (
        f'<div><dt>{text(title)}</dt><dd data-figure="{key}" data-value="{value}">'
        f"{text(figure)}{small}</dd>"
        f"<dd>{text(note)}</dd></div>"
    )


def _share_tile(key: str, part: int, whole: int, title: str) -> str:
    note = f"{short_count(part)} of {short_count(whole)}" if whole else "the network has none"
    return _tile(key, part, title, percent(part, whole), note)


def size_section(facts: ReportFacts) -> str:
    """Bytes of the file's sections, then those of each layer."""
    summary = facts.summary
    whole = max(summary.file_bytes, 1)
    bar = "".join(
        f'<i class="s-{name.lower()}" style="width:{100 * size / whole:.3f}%" '
        f'title="{text(SECTION_CONTENTS.get(name, name))}: {size:,} bytes"></i>'
        for name, size in summary.bytes_by_section.items()
    )
    rows = [
        [
            Cell(
                f'<i class="key s-{text(name.lower())}"></i>'
                + text(SECTION_CONTENTS.get(name, name))
                + (f" <small>{text(name)}</small>" if name != "header" else ""),
                number=False,
            ),
            Cell(f'<span data-section="{text(name)}" data-value="{size}">{size:,}</span>'),
            Cell(percent(size, whole)),
        ]
        for name, size in summary.bytes_by_section.items()
    ]
    sections = table(
        "Bytes of the file by section", ("Section", "bytes", "share"), rows, kind="narrow"
    )
    return (
        f'<div class="stack" aria-hidden="true">{bar}</div>{sections}'
        f"<h3>Bytes by layer</h3><p>A layer's latents are coded together with those of the layers "
        f"around it: each is given its share of what they take.</p>{_bytes_by_layer(facts)}"
    )


def _bytes_by_layer(facts: ReportFacts) -> str:
    layers = facts.layer_bytes.values()
    most = max((layer.total for layer in layers), default=0) or 1
    weights = {layer.name: layer.parameters for layer in facts.layer_stats}
    rows = []
    for order, layer in enumerate(layers):
        parts = (("lats", layer.latents), ("rawf", layer.dense), ("side", layer.side))
        bits = 8 * layer.total / weights[layer.name] if weights.get(layer.name) else None
        rows.append(
            [
                name_cell(layer.name, order),
                bars([Bar(size / most, f"s-{kind}", f"{size:,} bytes") for kind, size in parts]),
                Cell(f'<span data-layer-bytes="{layer.total}">{layer.total:,}</span>', layer.total),
                Cell("–" if bits is None else f"{bits:.2f}", -1.0 if bits is None else bits),
            ]
        )
    header = ("Layer", "", "bytes", "bits / weight")
    return table("Bytes by layer", header, rows, kind="chart", key="bytes-by-layer")


def layers_section(facts: ReportFacts) -> str:
    """Density and computation of each weighted layer, then a table of all figures."""
    stats = facts.layer_stats
    if not stats:
        return "<p>The network has no convolution and no linear layer.</p>"
    most = max(layer.macs for layer in stats) or 1
    rows = []
    for order, layer in enumerate(stats):
        left = layer.macs_left / most
        rest = (layer.macs - layer.macs_left) / most
        rows.append(
            [
                name_cell(layer.name, order),
                bars(
                    [
                        Bar(left, "left", f"{layer.macs_left:,} left"),
                        Bar(rest, "gone", f"{layer.macs - layer.macs_left:,} skipped"),
                    ]
                ),
                Cell(short_count(layer.macs_left), layer.macs_left),
                Cell(percent(layer.macs_left, layer.macs), layer.macs_left / max(layer.macs, 1)),
                Cell(percent(layer.density), layer.density),
            ]
        )
    header = ("Layer", "", "left", "share left", "density")
    chart = table("Multiply-adds by layer", header, rows, kind="chart", key="macs-by-layer")
    return (
        '<p><i class="key left"></i>left <i class="key gone"></i>skipped, since their slices are '
        "zero. Density is the share of slices that are not zero.</p>"
        f"{chart}<details><summary>All figures of all layers</summary>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="All figures of all layers">'
        f"{_all_figures(stats, facts.layer_bytes)}</div></details>"
    )


def _all_figures(stats: Sequence[LayerStats], sizes: dict[str, LayerBytes]) -> str:
    rows = []
    for order, layer in enumerate(stats):
        size = sizes[layer.name].total if layer.name in sizes else 0
        counts = (
            layer.slices,
            layer.zero_slices,
            layer.parameters,
            layer.macs,
            layer.macs_left,
            size,
        )
        rows.append(
            [
                name_cell(layer.name, order),
                Cell(text(layer.op), layer.op, number=False),
                Cell(f"{layer.kernel[0]}×{layer.kernel[1]}", number=False),
                *(Cell(f"{count:,}", count) for count in counts),
            ]
        )
    header = ("Layer", "operator", "kernel", "slices", "zero", "weights", "macs", "left", "bytes")
    return table("All figures of all layers", header, rows, kind="wide", key="all-layers")


def maps_section(facts: ReportFacts) -> str:
    """A picture of the slices of each weighted layer."""
    figures = "".join(
        _map_figure(layer, slice_map(facts.graph.node(layer.name))) for layer in facts.layer_stats
    )
    return (
        "<p>A dot is a slice that is not zero: rows are filters, columns are input channels (for "
        "1×1 and linear layers, groups of them where the file has slices of several). Where a "
        "layer has more slices than fit, a dot stands for a block of them, darker the more of "
        f'them are not zero, and the caption says so.</p><div class="maps">{figures}</div>'
    )


def _map_figure(layer: LayerStats, picture: SliceMap) -> str:
    name = layer.name
    scale = max(1, _PICTURE // max(picture.width, picture.height))
    width = picture.width * scale
    height = max(picture.height * scale, _LEAST_HEIGHT)
    total = picture.filters * picture.slices
    pointwise = layer.kernel == (1, 1) and layer.slice_length > 1
    across = f"groups of {layer.slice_length} channels" if pointwise else "channels"
    size = f"{picture.filters:,} filters × {picture.slices:,} {across}"
    notes = [f"{picture.nonzero:,} of {total:,} left, {percent(picture.nonzero, total)}"]
    if picture.one_row:
        size = f"{picture.filters:,} filters, from left to right"
    if picture.block != (1, 1):
        notes.append(f"a dot is {picture.block[0]} × {picture.block[1]} slices")
    data = base64.b64encode(picture.png).decode()
    label = f"Slice map of {name}: {size}; {'; '.join(notes)}"
    # Magnified dots keep their edges; dots of one pixel may have to shrink, and none may be lost.
    kind = ' class="magnified"' if scale > 1 else ""
    return (
        f'<figure><img{kind} alt="{text(label)}" width="{width}" height="{height}" '
        f'src="data:image/png;base64,{data}"><figcaption><b title="{text(name)}">'
        f"{text(shortened(name, 34))}</b><span>{text(size)}</span>"
        + "".join(f"<span>{text(note)}</span>" for note in notes)
        + "</figcaption></figure>"
    )


def network_section(facts: ReportFacts) -> str:
    """The drawing, and the same as a table."""
    drawing = draw_network(facts.graph, {layer.name: layer.density for layer in facts.layer_stats})
    if drawing is None:
        picture = f"<p>Networks of more than {MAX_BOXES:,} operators are not drawn.</p>"
    else:
        picture = (
            "<p>The bar in a box is the layer's density; activations are in the box of what they "
            'follow.</p><div class="scroll drawing" tabindex="0" role="region" '
            f'aria-label="Drawing of the network">{drawing.svg}</div>'
        )
    rows = [
        [
            name_cell(node.name, order),
            Cell(text(operator_label(node)), number=False),
            Cell(text(", ".join(node.inputs) or "–"), number=False),
        ]
        for order, node in enumerate(facts.graph.nodes)
    ]
    listing = table("Operators in the order of execution", ("Name", "Operator", "Reads"), rows)
    return (
        f"{picture}<details><summary>{len(rows):,} operators as a table</summary>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Operators">{listing}</div>'
        "</details>"
    )
