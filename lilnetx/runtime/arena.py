"""Memory of the activations: who lives when, and where."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lilnetx.graph.ir import Conv2d, Shape
from lilnetx.runtime.fuse import FusedNode
from lilnetx.runtime.layout import Image, PlaneLayout, round_up

_TAIL = 64  # floats after the last plane that vectors may run over


def lifetimes(
    steps: Sequence[FusedNode], inputs: Sequence[str], outputs: Sequence[str]
) -> dict[str, tuple[int, int]]:
    """First and last step, both inclusive, at which each value must be in memory.

    Inputs live from step -1; outputs live to the end.
    """
    first = dict.fromkeys(inputs, -1)
    last = dict.fromkeys(inputs, -1)
    for i, step in enumerate(steps):
        for name in (*step.inputs, *([step.residual] if step.residual else [])):
            last[name] = i
        first[step.output] = last[step.output] = i
    for name in outputs:
        last[name] = len(steps)
    return {name: (first[name], last[name]) for name in first}


def place(
    steps: Sequence[FusedNode],
    shapes: Mapping[str, Shape],
    layouts: Mapping[tuple[int, int], PlaneLayout],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> tuple[dict[str, Image], int]:
    """Places every value in one arena.

    Values of one height and width share one region, plane by plane, so that zeros stay where zeros
    are needed; vectors have memory of their own, so that what pads them stays zero; values of other
    ranks lie densely in a region of their own. A sum takes the
    place of the residual that is read for the last time: its lines are then in the cache already.

    Returns:
        Where each value lies, and the arena's size in floats, guards at both ends included.
    """
    lives = lifetimes(steps, inputs, outputs)
    in_place = _in_place(steps, shapes, lives)
    for name, host in in_place.items():
        lives[host] = (lives[host][0], max(lives[host][1], lives[name][1]))
    guard = _guard(steps, shapes, layouts)
    end = guard
    images: dict[str, Image] = {}
    for (height, width), layout in layouts.items():
        members = {
            n: shapes[n][0]
            for n in lives
            if len(shapes[n]) == 3 and shapes[n][1:] == (height, width) and n not in in_place
        }
        if not members:
            continue
        first_plane = _first_fit(members, lives)
        for name, plane in first_plane.items():
            offset = end + plane * layout.channel_stride + layout.lead
            images[name] = Image(
                offset,
                members[name],
                height,
                width,
                layout.row_stride,
                layout.channel_stride,
            )
        planes = max(first_plane[n] + c for n, c in members.items())
        end += planes * layout.channel_stride + layout.lead + _TAIL
    for name in lives:
        if len(shapes[name]) == 1:
            images[name] = _dense(end, shapes[name])
            end += images[name].channel_stride
    others = {n: _dense(0, shapes[n]) for n in lives if len(shapes[n]) not in (1, 3)}
    blocks = {name: image.channel_stride // 16 for name, image in others.items()}
    first_block = _first_fit(blocks, lives)
    images.update({n: _dense(end + 16 * first_block[n], shapes[n]) for n in others})
    end += 16 * max((first_block[n] + blocks[n] for n in others), default=0)
    images.update({name: images[host] for name, host in in_place.items()})
    return images, end + guard


def _dense(offset: int, shape: Shape) -> Image:
    """A value that is no image: all elements in one row."""
    size = math.prod(shape)
    padded = round_up(size, 16)
    return Image(offset, 1, 1, size, padded, padded)


def _in_place(
    steps: Sequence[FusedNode],
    shapes: Mapping[str, Shape],
    lives: Mapping[str, tuple[int, int]],
) -> dict[str, str]:
    """For each sum that is computed over its residual the value whose memory that is.

    A convolution reads the residual at a pixel before it writes there, and nothing else may read
    that value in the same step or later.
    """
    hosts: dict[str, str] = {}
    for i, step in enumerate(steps):
        name = step.residual
        if name is None or name in step.inputs or lives[name][1] != i:
            continue
        if shapes[name] == shapes[step.output]:
            hosts[step.output] = hosts.get(name, name)
    return hosts


def _guard(
    steps: Sequence[FusedNode],
    shapes: Mapping[str, Shape],
    layouts: Mapping[tuple[int, int], PlaneLayout],
) -> int:
    """Floats that a kernel may read before the first and after the last value."""
    guard = _TAIL
    for step in steps:
        op = step.node.op
        if isinstance(op, Conv2d):
            row = layouts[shapes[step.inputs[0]][1], shapes[step.inputs[0]][2]].row_stride
            reach = (op.padding[0] + op.stride[0]) * row + op.padding[1] + 32 * op.stride[1] + _TAIL
            guard = max(guard, reach)
    return round_up(guard, 16)


def _first_fit(planes: Mapping[str, int], lives: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """First plane of each value, so that values alive together do not overlap; largest first."""
    placed: dict[str, int] = {}
    for name in sorted(planes, key=lambda n: (-planes[n], lives[n])):
        start, stop = lives[name]
        taken = sorted(
            (placed[other], placed[other] + planes[other])
            for other in placed
            if lives[other][0] <= stop and start <= lives[other][1]
        )
        plane = 0
        for begin, end in taken:
            if plane + planes[name] <= begin:
                break
            plane = max(plane, end)
        placed[name] = plane
    return placed
