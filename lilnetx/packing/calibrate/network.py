"""All layers' rounding problems together: the network for one price of a bit."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from lilnetx.format.writer import encode_lnx
from lilnetx.graph.ir import Graph, LatentWeight, Node, Weighted
from lilnetx.packing.calibrate.decoders import decoder_name, fit_decoders
from lilnetx.packing.calibrate.problem import LayerProblem
from lilnetx.packing.calibrate.statistics import LayerStatistics, weighted_nodes

# With this share of the bits that weights take at most, they begin to depend on the price.
_FINEST = 1 - 1e-4


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A compressed network.

    Attributes:
        bit_cost: The price of a bit that it was found for.
        graph: The network.
        size: Bytes of its file.
    """

    bit_cost: float
    graph: Graph
    size: int


class RoundedNetwork:
    """Finds the integers of all layers for a price.

    Attributes:
        weights: Number of weights that become integers.
    """

    def __init__(
        self,
        graph: Graph,
        statistics: dict[str, LayerStatistics],
        slice_1x1: int,
        *,
        compensate: bool = True,
    ) -> None:
        self._graph, self._compensate = graph, compensate
        self._decoders = fit_decoders(graph, slice_1x1)
        self._problems: dict[str, LayerProblem] = {}
        for node in weighted_nodes(graph):
            assert isinstance(node.op, Weighted)
            decoder = self._decoders[decoder_name(node.op, slice_1x1)]
            problem = LayerProblem(graph, node, statistics[node.name], decoder)
            self._problems[node.name] = problem
        self.weights = sum(problem.size for problem in self._problems.values())
        self._last: tuple[float, dict[str, NDArray[np.int32]]] | None = None

    def estimated_bits(self, bit_cost: float) -> float:
        """About how many bits a weight will take, by what steps that price leads to."""
        bits = sum(problem.estimated_bits(bit_cost) for problem in self._problems.values())
        return bits / self.weights

    def cost_for(self, bits: float) -> float:
        """A price for which a weight will take about so many bits, or as many as it ever takes.

        Integers are limited, so below some price nothing changes any more: none lower is given.
        """
        low, high = -160.0, 80.0
        bits = min(bits, _FINEST * self.estimated_bits(2.0**low))
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.estimated_bits(2.0**middle) > bits else (low, middle)
        return float(2.0**low)

    def at(self, bit_cost: float) -> Candidate:
        """The network for a price; what the integers of the last one tell of bits is used."""
        integers: dict[str, NDArray[np.int32]] = {}
        nodes: list[Node] = []
        for node in self._graph.nodes:
            problem = self._problems.get(node.name)
            if problem is not None:
                node = problem.solve(
                    bit_cost, self._expected(node.name, bit_cost), compensate=self._compensate
                )
                assert isinstance(node.weight, LatentWeight)
                integers[node.name] = node.weight.latents
            nodes.append(node)
        self._last = bit_cost, integers
        graph = dataclasses.replace(
            self._graph, nodes=tuple(nodes), decoders={**self._graph.decoders, **self._decoders}
        )
        return Candidate(bit_cost, graph, len(encode_lnx(graph)))

    def _expected(self, name: str, bit_cost: float) -> NDArray[np.int32] | None:
        if self._last is None:
            return None
        cost, integers = self._last
        # Steps grow with the root of the price.
        rescaled = np.rint(integers[name] * math.sqrt(cost / bit_cost))
        return np.asarray(rescaled, np.int32)


__all__ = ["Candidate", "RoundedNetwork"]
