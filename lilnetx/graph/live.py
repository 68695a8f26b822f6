"""Which nodes an output depends on."""

from __future__ import annotations

from lilnetx.graph.ir import Graph, Node


def live_nodes(graph: Graph) -> list[Node]:
    """Nodes that some output depends on, in order."""
    wanted = set(graph.outputs)
    live = []
    for node in reversed(graph.nodes):
        if node.name in wanted:
            wanted.update(node.inputs)
            live.append(node)
    return live[::-1]


__all__ = ["live_nodes"]
