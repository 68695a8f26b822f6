"""The network as an SVG drawing: boxes from top to bottom, activations in the box before them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from lilnetx.graph.ir import (
    Activation,
    Conv2d,
    ConvTranspose2d,
    Graph,
    Linear,
    Node,
    Pair,
    Pool2d,
    Shape,
)
from lilnetx.graph.shapes import infer_shapes
from lilnetx.report.html import shortened, text
from lilnetx.report.layout import layered

# Larger drawings would take the browser longer to show than anybody would look at them.
MAX_BOXES = 2000

_BOX_WIDTH = 248
_BOX_HEIGHT = 44
_RANK = 66
_MARGIN = 12


@dataclass
class _Box:
    """What is drawn as one box: a node with the activations behind it, or an end of the network."""

    name: str
    label: str
    shape: Shape
    density: float | None = None
    kind: str = "op"
    inputs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Drawing:
    """A finished drawing.

    Attributes:
        svg: The element ``svg``.
        boxes: How many boxes it has.
    """

    svg: str
    boxes: int


def draw_network(graph: Graph, densities: dict[str, float]) -> Drawing | None:
    """Draw a network.

    Args:
        graph: The network.
        densities: Share of nonzero slices of each weighted layer, 0 to 1.

    Returns:
        The drawing, whose colours come from the page's style sheet; None for a network of more than
        2000 boxes.
    """
    boxes = _boxes(graph, densities)
    if len(boxes) > MAX_BOXES:
        return None
    # The first box of a name: an output may be called like a node, and nothing reads outputs.
    index = {box.name: i for i, box in reversed(list(enumerate(boxes)))}
    edges = [
        (index[source], i) for i, box in enumerate(boxes) for source in dict.fromkeys(box.inputs)
    ]
    layout = layered([_BOX_WIDTH] * len(boxes), edges)
    width, height = layout.width + 2 * _MARGIN, layout.ranks * _RANK + 2 * _MARGIN
    parts = [
        f'<svg class="network" xmlns="http://www.w3.org/2000/svg" role="img" '
        f'aria-labelledby="drawing-title" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}">',
        f'<title id="drawing-title">The network: {len(boxes)} boxes from input to output; the '
        "table below lists the same operators</title>",
    ]
    parts += [f'<path class="edge" d="{path}"/>' for path in _paths(layout.routes)]
    for box, x, rank in zip(boxes, layout.x, layout.rank, strict=True):
        parts.append(_box_svg(box, x + _MARGIN, rank * _RANK + _MARGIN))
    return Drawing("\n".join([*parts, "</svg>"]), len(boxes))


def operator_label(node: Node) -> str:
    """An operator in a few characters, such as ``Conv 3×3 16→32 /2`` for one of stride 2."""
    op = node.op
    kind = type(op).__name__
    match op:
        case Conv2d() | ConvTranspose2d():
            short = "Conv" if isinstance(op, Conv2d) else "Transposed conv"
            parts = [f"{short} {_pair(op.kernel)}", f"{op.in_channels}→{op.out_channels}"]
            if op.stride != (1, 1):
                parts.append(f"/{_either(op.stride)}")
            if op.groups > 1:
                depthwise = op.groups == op.in_channels
                parts.append("depthwise" if depthwise else f"{op.groups} groups")
            return " ".join(parts)
        case Linear():
            return f"{kind} {op.in_features}→{op.out_features}"
        case Pool2d():
            return f"{kind} {_pair(op.kernel)} /{_either(op.stride)}"
        case _:
            return kind


def _pair(pair: Pair) -> str:
    return f"{pair[0]}×{pair[1]}"


def _either(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else _pair(pair)


def _boxes(graph: Graph, densities: dict[str, float]) -> list[_Box]:
    shapes = infer_shapes(graph)
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    readers.update(graph.outputs)
    boxes = {name: _Box(name, "Input", shape, kind="end") for name, shape in graph.inputs.items()}
    # Value -> box that it comes from: activations belong to the box before, when it is read by
    # nothing else.
    home = {name: name for name in graph.inputs}
    for node in graph.nodes:
        source = home[node.inputs[0]] if node.inputs else ""
        alone = bool(node.inputs) and readers[node.inputs[0]] == 1 and source not in graph.inputs
        if isinstance(node.op, Activation) and alone:
            boxes[source].label += f" + {operator_label(node)}"
            boxes[source].shape = shapes[node.name]
            home[node.name] = source
            continue
        home[node.name] = node.name
        boxes[node.name] = _Box(
            node.name,
            operator_label(node),
            shapes[node.name],
            densities.get(node.name),
            inputs=[home[name] for name in node.inputs],
        )
    ends = [
        _Box(f"output {i} {name}", "Output", shapes[name], kind="end", inputs=[home[name]])
        for i, name in enumerate(graph.outputs)
    ]
    return [*boxes.values(), *ends]


def _paths(routes: list[list[tuple[float, int]]]) -> list[str]:
    """One path for each stretch between neighbouring ranks; what edges share is drawn once."""
    stretches: dict[tuple[float, int, float, bool], None] = {}
    for route in routes:
        for (x0, rank), (x1, below) in pairwise(route):
            last = (x1, below) == route[-1]
            stretches[x0, rank, x1, not last] = None
    paths = []
    for x0, rank, x1, passes in stretches:
        top = _MARGIN + rank * _RANK + _BOX_HEIGHT
        bottom = _MARGIN + (rank + 1) * _RANK
        middle = (top + bottom) / 2
        left, right = x0 + _MARGIN, x1 + _MARGIN
        path = f"M{left:.1f} {top}C{left:.1f} {middle} {right:.1f} {middle} {right:.1f} {bottom}"
        paths.append(path + (f"V{bottom + _BOX_HEIGHT}" if passes else ""))
    return paths


def _box_svg(box: _Box, centre: float, top: float) -> str:
    left = centre - _BOX_WIDTH / 2
    shape = "×".join(map(str, box.shape)) or "scalar"
    detail = shape if box.kind == "end" else f"{shortened(box.name, 22)} · {shape}"
    kind = "weighted" if box.density is not None else box.kind
    full = f"{box.name}: {box.label}, {shape}"
    parts = [
        f'<g class="{kind}"><rect x="{left:.1f}" y="{top}" width="{_BOX_WIDTH}" '
        f'height="{_BOX_HEIGHT}" rx="7"/>'
    ]
    if box.density is not None:
        full += f", {100 * box.density:.1f} % of the slices nonzero"
        inner = _BOX_WIDTH - 16
        bar = f'x="{left + 8:.1f}" y="{top + _BOX_HEIGHT - 7}" height="3" rx="1.5"'
        parts.append(f'<rect class="track" {bar} width="{inner}"/>')
        parts.append(f'<rect class="fill" {bar} width="{inner * box.density:.1f}"/>')
    parts.append(
        f'<text class="label" x="{centre:.1f}" y="{top + 17}">'
        f"{text(shortened(box.label, 35))}</text>"
        f'<text class="detail" x="{centre:.1f}" y="{top + 32}">{text(detail)}</text>'
        f"<title>{text(full)}</title></g>"
    )
    return "".join(parts)
