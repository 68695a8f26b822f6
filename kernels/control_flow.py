"""The loops of compiled CUDA kernels, from the flow graph that ``nvdisasm -bbcfg`` prints.

Addresses alone do not tell a loop: compilers put the less likely branch of a condition behind the
code, from where it jumps back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

_FUNCTION = re.compile(r'^subgraph "cluster_(?P<name>[^"]+)"')
_NODE = re.compile(r'^"(?P<name>[^"]+)"$')
_LABEL = re.compile(r'^\[label="\{(?P<text>.*)\}"\]$')
_EDGE = re.compile(r'^"(?P<tail>[^"]+)":\w+(?::\w+)? -> "(?P<head>[^"]+)"')


@dataclass
class Flow:
    """One kernel.

    Attributes:
        entry: The first block's name.
        blocks: Instructions of each block, by name.
        edges: Blocks that may follow, by name.
    """

    entry: str
    blocks: dict[str, list[str]] = field(default_factory=dict)
    edges: dict[str, set[str]] = field(default_factory=dict)

    def instructions(self, names: set[str] | None = None) -> list[str]:
        """Of some blocks, or of all."""
        return [
            line
            for name, lines in self.blocks.items()
            if names is None or name in names
            for line in lines
        ]

    @cached_property
    def loops(self) -> list[set[str]]:
        """The natural loops, as sets of blocks; loops of one first block are one loop."""
        before: dict[str, set[str]] = {name: set() for name in self.blocks}
        for tail, heads in self.edges.items():
            for head in heads:
                before[head].add(tail)
        dominators = self._dominators(before)
        bodies: dict[str, set[str]] = {}
        for tail, heads in self.edges.items():
            for head in heads & dominators.get(tail, set()):
                body = bodies.setdefault(head, {head})
                waiting = [tail]
                while waiting:
                    block = waiting.pop()
                    if block not in body:
                        body.add(block)
                        waiting += before[block] & dominators.keys()
        return list(bodies.values())

    def _dominators(self, before: dict[str, set[str]]) -> dict[str, set[str]]:
        """For each block that can be reached, the blocks through which every way to it leads.

        By Cooper, Harvey and Kennedy: the nearest such block of each, until nothing changes.
        """
        order = self._reverse_postorder()
        place = {block: i for i, block in enumerate(order)}
        nearest = {self.entry: self.entry}
        changed = True
        while changed:
            changed = False
            for block in order[1:]:
                ways = [b for b in before[block] if b in nearest]
                new = ways[0]
                for other in ways[1:]:
                    while new != other:
                        if place[new] > place[other]:
                            new = nearest[new]
                        else:
                            other = nearest[other]
                if nearest.get(block) != new:
                    nearest[block] = new
                    changed = True
        found = {self.entry: {self.entry}}
        for block in order[1:]:
            found[block] = found[nearest[block]] | {block}
        return found

    def _reverse_postorder(self) -> list[str]:
        """Blocks that can be reached, each before those that follow it, but for loops."""
        order: list[str] = []
        seen = {self.entry}
        waiting = [(self.entry, iter(sorted(self.edges.get(self.entry, set()))))]
        while waiting:
            block, following = waiting[-1]
            head = next((b for b in following if b not in seen), None)
            if head is None:
                order.append(block)
                waiting.pop()
            else:
                seen.add(head)
                waiting.append((head, iter(sorted(self.edges.get(head, set())))))
        return order[::-1]


def read_flow(text: str) -> dict[str, Flow]:
    """The kernels of a program, by name.

    Args:
        text: What ``nvdisasm -bbcfg`` printed.
    """
    flows: dict[str, Flow] = {}
    flow, node = Flow(""), ""
    for line in text.splitlines():
        if found := _FUNCTION.match(line):
            flow = flows.setdefault(found["name"], Flow(found["name"]))
        elif found := _NODE.match(line):
            node = found["name"]
        elif found := _LABEL.match(line):
            flow.blocks[node] = _instructions(found["text"])
        elif found := _EDGE.match(line):
            flow.edges.setdefault(found["tail"], set()).add(found["head"])
    return flows


def _instructions(label: str) -> list[str]:
    lines = re.sub(r"\|?<\w+>", "", label).split("\\l")
    plain = (line.replace("\\", "").strip() for line in lines)
    return [line for line in plain if line.endswith(";")]


__all__ = ["Flow", "read_flow"]
