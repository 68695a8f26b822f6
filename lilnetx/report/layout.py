"""A layered layout of a network: ranks from top to bottom, edges that cross few others.

The steps are those of Sugiyama's method: ranks by the longest path, long edges through places of
their own in each rank between, orders by the mean of the neighbours, then positions in a rank as
close to the neighbours as the order and the widths allow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Edge = tuple[int, int]

_GAP = 18.0
_LANE = 14.0  # width of an edge's place in a rank that it passes through
_ORDER_SWEEPS = 6
_POSITION_SWEEPS = 12


@dataclass(frozen=True)
class Layout:
    """Where everything is.

    Attributes:
        x: Centre of each node; all nodes and lanes lie between 0 and ``width``.
        rank: Rank of each node, from 0.
        routes: For each edge, in the order given, the points ``(x, rank)`` that it passes through,
            both ends included. Edges from one node share their points as long as they can.
        width: Of the whole layout.
        ranks: Number of ranks.
    """

    x: list[float]
    rank: list[int]
    routes: list[list[tuple[float, int]]]
    width: float
    ranks: int


def layered(widths: Sequence[float], edges: Sequence[Edge]) -> Layout:
    """Lay out a graph without cycles.

    Args:
        widths: Width of each node.
        edges: Pairs ``(from, to)`` with ``from < to``: nodes are in an order of execution.

    Returns:
        The layout, deterministic.
    """
    rank = _ranks(len(widths), edges)
    places = _Places(list(widths), rank, edges)
    order = _ordered(places)
    x = _positions(places, order)
    left = min((x[i] - places.widths[i] / 2 for i in range(len(x))), default=0.0)
    right = max((x[i] + places.widths[i] / 2 for i in range(len(x))), default=0.0)
    x = [value - left for value in x]
    routes = [[(x[i], places.rank[i]) for i in places.route(edge)] for edge in edges]
    count = len(widths)
    return Layout(x[:count], rank, routes, right - left, max(rank, default=-1) + 1)


def _ranks(count: int, edges: Sequence[Edge]) -> list[int]:
    """Longest path to each node; nodes that read nothing stand right before their first reader."""
    rank = [0] * count
    readers: dict[int, list[int]] = defaultdict(list)
    reads = [False] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        rank[target] = max(rank[target], rank[source] + 1)
        readers[source].append(target)
        reads[target] = True
    for node in range(count):
        if not reads[node] and readers[node]:
            rank[node] = max(0, min(rank[target] for target in readers[node]) - 1)
    return rank


class _Places:
    """Nodes, and lanes of long edges: one lane for all edges from a node."""

    def __init__(self, widths: list[float], rank: list[int], edges: Sequence[Edge]) -> None:
        self.widths = widths
        self.rank = list(rank)
        self.nodes = len(widths)
        self.lanes: dict[int, list[int]] = defaultdict(list)
        for source, target in edges:
            lane = self.lanes[source]
            while rank[source] + len(lane) + 1 < rank[target]:
                lane.append(len(self.widths))
                self.rank.append(rank[source] + len(lane))
                self.widths.append(_LANE)
        # Neighbours of each place in the ranks above and below, each pair once.
        pairs = {pair for edge in edges for pair in pairwise(self.route(edge))}
        self.above: list[list[int]] = [[] for _ in self.widths]
        self.below: list[list[int]] = [[] for _ in self.widths]
        for upper, lower in sorted(pairs):
            self.above[lower].append(upper)
            self.below[upper].append(lower)

    def route(self, edge: Edge) -> list[int]:
        """The places of an edge, from its first to its last."""
        source, target = edge
        between = self.rank[target] - self.rank[source] - 1
        return [source, *self.lanes[source][:between], target]

    def is_lane(self, place: int) -> bool:
        """Whether it is no node."""
        return place >= self.nodes

    def weight(self, place: int) -> float:
        """How much it matters that it stands where it wants to."""
        return 1e-3 if self.is_lane(place) else 1.0


def _ordered(places: _Places) -> list[list[int]]:
    """The places of each rank from left to right."""
    ranks: list[list[int]] = [[] for _ in range(max(places.rank, default=-1) + 1)]
    for place, rank in enumerate(places.rank):
        ranks[rank].append(place)
    position = [0.0] * len(places.rank)
    for row in ranks:
        for i, place in enumerate(row):
            position[place] = i - (len(row) - 1) / 2
    for sweep in range(_ORDER_SWEEPS):
        down = sweep % 2 == 0
        near = places.above if down else places.below
        for row in ranks if down else reversed(ranks):
            wanted = {place: _mean(near[place], position, position[place]) for place in row}
            row.sort(key=wanted.__getitem__)
            for i, place in enumerate(row):
                # Relative to the middle, so that ranks of different length compare.
                position[place] = i - (len(row) - 1) / 2
    return ranks


def _mean(places: Sequence[int], values: Sequence[float], otherwise: float) -> float:
    return sum(values[place] for place in places) / len(places) if places else otherwise


def _positions(places: _Places, ranks: Sequence[Sequence[int]]) -> list[float]:
    x = [0.0] * len(places.widths)
    for rank in ranks:
        _spread(places, rank, [0.0] * len(rank), x)
    for sweep in range(_POSITION_SWEEPS):
        down = sweep % 2 == 0
        near = places.above if down else places.below
        for rank in ranks if down else reversed(ranks):
            wanted = [_wanted(places, place, near[place], x) for place in rank]
            _spread(places, rank, wanted, x)
    return x


def _wanted(places: _Places, place: int, near: Sequence[int], x: Sequence[float]) -> float:
    """Lanes go straight on; nodes stand under nodes rather than under lanes."""
    alike = [other for other in near if places.is_lane(other) == places.is_lane(place)]
    return _mean(alike or near, x, x[place])


def _spread(places: _Places, rank: Sequence[int], wanted: Sequence[float], x: list[float]) -> None:
    """Places a rank in its order, as near to the wanted positions as the widths allow.

    The least sum of squares under the order is an isotonic regression of the wanted positions less
    what the widths before take: neighbours that are too close are pooled at their mean. Lanes weigh
    next to nothing, so that they give way to nodes.
    """
    offsets = []
    offset = 0.0
    for i, place in enumerate(rank):
        if i:
            offset += (places.widths[rank[i - 1]] + places.widths[place]) / 2 + _GAP
        offsets.append(offset)
    # Mean position, weight and number of places of each pool.
    pools: list[tuple[float, float, int]] = []
    for place, value, shift in zip(rank, wanted, offsets, strict=True):
        pool = (value - shift, places.weight(place), 1)
        while pools and pools[-1][0] > pool[0]:
            mean, weight, count = pools.pop()
            both = weight + pool[1]
            pool = ((mean * weight + pool[0] * pool[1]) / both, both, count + pool[2])
        pools.append(pool)
    i = 0
    for mean, _, count in pools:
        for _ in range(count):
            x[rank[i]] = mean + offsets[i]
            i += 1
