"""Which layers a file's bytes belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lilnetx.format.latents import encode_latents, partition
from lilnetx.format.side import encode_side, side_vectors
from lilnetx.format.weight_info import WeightInfo, weight_info
from lilnetx.graph.ir import DenseWeight, Graph, LatentWeight, Node


@dataclass(frozen=True)
class LayerBytes:
    """Bytes of one weighted layer.

    A coder learns from layer to layer, so that no layer has coded bytes of its own: each is given
    its share of its section, in proportion to what it adds when all layers are coded anew.

    Attributes:
        name: Name of the node.
        latents: Share of the section LATS.
        dense: Its part of the section RAWF.
        side: Share of the section SIDE: its scales and biases.
    """

    name: str
    latents: int
    dense: int
    side: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.latents + self.dense + self.side


def layer_bytes(graph: Graph, bytes_by_section: Mapping[str, int]) -> tuple[LayerBytes, ...]:
    """Gives all bytes of the sections LATS, RAWF and SIDE to the layers that have some.

    Args:
        graph: What a file holds, as :func:`lilnetx.format.read_lnx` returns it.
        bytes_by_section: The file's section sizes, as in :class:`.FileSummary`.

    Returns:
        The layers with weights or side data, in order.
    """
    nodes = [node for node in graph.nodes if node.weight is not None or node.bias is not None]
    latents = apportion(bytes_by_section.get("LATS", 0), _latent_costs(graph, nodes))
    side = apportion(bytes_by_section.get("SIDE", 0), _side_costs(nodes))
    return tuple(
        LayerBytes(
            node.name,
            of_latents,
            4 * node.weight.values.size if isinstance(node.weight, DenseWeight) else 0,
            of_side,
        )
        for node, of_latents, of_side in zip(nodes, latents, side, strict=True)
    )


def apportion(total: int, costs: Sequence[int]) -> list[int]:
    """Whole shares of ``total`` in proportion to ``costs`` of at least 0; their sum is ``total``.

    All shares are 0 where all costs are.
    """
    whole = sum(costs)
    if whole == 0:
        return [0] * len(costs)
    shares = [total * cost // whole for cost in costs]
    # What rounding down left goes to those that lost most by it.
    by_loss = sorted(range(len(costs)), key=lambda i: -(total * costs[i] % whole))
    for i in by_loss[: total - sum(shares)]:
        shares[i] += 1
    return shares


def _latent_costs(graph: Graph, nodes: Sequence[Node]) -> list[int]:
    """What each layer's latents add to their stream."""
    decoders = list(graph.decoders)
    coded: list[tuple[int, LatentWeight, WeightInfo]] = [
        (index, node.weight, weight_info(node, decoders))
        for index, node in enumerate(nodes)
        if isinstance(node.weight, LatentWeight)
    ]
    costs = [0] * len(nodes)
    first = 0
    for count in partition([weight.latents.size for _, weight, _ in coded]):
        members = coded[first : first + count]
        before = 0
        for last, (index, _, _) in enumerate(members, start=1):
            arrays = [weight.latents for _, weight, _ in members[:last]]
            size = len(encode_latents(arrays, [info for _, _, info in members[:last]]))
            costs[index] = max(size - before, 0)
            before = size
        first += count
    return costs


def _side_costs(nodes: Sequence[Node]) -> list[int]:
    """What each layer's scales and biases add to all those before."""
    costs = []
    before = 0
    for last in range(1, len(nodes) + 1):
        vectors = side_vectors(nodes[:last])
        size = len(encode_side(vectors)) if vectors else 0
        costs.append(max(size - before, 0))
        before = size
    return costs
