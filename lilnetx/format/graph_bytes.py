"""The content of the GRPH section: operators, names, connections, and what each weight is like."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from lilnetx.errors import LimitExceededError
from lilnetx.format import layout
from lilnetx.format.cursor import Cursor, Sink
from lilnetx.format.op_bytes import OP_TYPES, get_op, op_code, put_op
from lilnetx.format.weight_info import (
    Skeleton,
    WeightInfo,
    dense_info,
    filters,
    latent_info,
    placeholder,
    weight_info,
)
from lilnetx.graph.ir import (
    ChannelAffine,
    Constant,
    Decoder,
    DenseWeight,
    Graph,
    LatentWeight,
    Node,
    Shape,
    Weight,
    Weighted,
)
from lilnetx.graph.ops.base import MAX_RANK
from lilnetx.graph.weights import is_pointwise, weight_shape

_KIND_NONE, _KIND_LATENT, _KIND_DENSE = range(3)
_SCALE, _BIAS = 0x40, 0x80
_LONG_CODE = 15  # in the low bits of a node's first byte: the next byte has the operator, less this
_FREE_SIZE, _MORE_INPUTS = 8, 16  # added to the rank of the first input; the latter to any

_DECODED = "decoded GRPH"  # Where messages count bytes from.


def encode_graph(graph: Graph) -> tuple[bytes, dict[str, WeightInfo]]:
    """The content's bytes and the weights' descriptions; the graph must have been checked."""
    sink = Sink()
    decoders = list(graph.decoders)
    sink.varint(len(decoders))
    for decoder in graph.decoders.values():
        sink.text(decoder.name.encode())
        sink.varint(decoder.matrix.shape[0])
        sink.zigzag(decoder.exponent)
    inputs = list(graph.inputs.items())
    for i, (input_name, shape) in enumerate(inputs):
        sink.text(input_name.encode())
        free = _FREE_SIZE if i == 0 and graph.free_size else 0
        sink.varint(len(shape) + free + (_MORE_INPUTS if i + 1 < len(inputs) else 0))
        for size in shape:
            sink.varint(size)
    sink.varint(len(graph.nodes))
    value_index = {input_name: i for i, (input_name, _) in enumerate(inputs)}
    last_name: dict[int, bytes] = {}
    infos: dict[str, WeightInfo] = {}
    for index, node in enumerate(graph.nodes, start=len(inputs)):
        info = weight_info(node, decoders) if node.weight is not None else None
        code = op_code(node.op)
        kind = _KIND_NONE if info is None else _KIND_DENSE if info.dense else _KIND_LATENT
        scale = _SCALE if node.scale is not None else 0
        head = kind << 4 | scale | (_BIAS if node.bias is not None else 0)
        sink.u8(head | min(code, _LONG_CODE))
        if code >= _LONG_CODE:
            sink.u8(code - _LONG_CODE)
        name = node.name.encode()
        sink.text(name, last_name.get(code, b""))
        last_name[code] = name
        if node.op.arity is None:
            sink.varint(len(node.inputs))
        for source in node.inputs:
            sink.varint(index - value_index[source])
        put_op(sink, node.op)
        if info is not None:
            infos[node.name] = info
            if not info.dense:
                sink.varint(info.decoder)
            sink.varint(info.nonzero)
        value_index[node.name] = index
    sink.varint(len(graph.outputs))
    for output in graph.outputs:
        sink.varint(len(inputs) + len(graph.nodes) - 1 - value_index[output])
    return sink.getvalue(), infos


@dataclass
class _Totals:
    """Elements declared so far, in exact integers, each below its cap."""

    path: str
    sums: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, count: int, cap: int) -> None:
        self.sums[what] = self.sums.get(what, 0) + count
        if self.sums[what] > cap:
            raise layout.defect(
                LimitExceededError,
                self.path,
                _DECODED,
                0,
                expected=f"at most {cap} {what}",
                found=self.sums[what],
                remedy="nothing was allocated; the file is damaged or made for other limits",
            )


def decode_graph(data: bytes | memoryview, path: str, *, synthetic: bool) -> Skeleton:
    """Reads and checks the content; allocates nothing that depends on declared sizes."""
    cursor = Cursor(data, path, _DECODED, 0)
    decoders = _decode_decoders(cursor)
    inputs, free_size = _decode_inputs(cursor)
    values = list(inputs)
    known = set(inputs)
    nodes: list[Node] = []
    infos: dict[str, WeightInfo] = {}
    last_name: dict[int, bytes] = {}
    totals = _Totals(path)
    for index in range(len(inputs), len(inputs) + cursor.varint("node count", layout.MAX_NODES)):
        head = cursor.u8()
        code, kind = head & 0x0F, head >> 4 & 3
        if code == _LONG_CODE:
            code += cursor.u8()
        if code >= len(OP_TYPES):
            raise cursor.corrupt(f"an operator code below {len(OP_TYPES)}", code)
        name, raw = cursor.text("node name", layout.MAX_NAME_BYTES, last_name.get(code, b""))
        if name in known:
            raise cursor.corrupt("a name that no other value has", repr(name))
        last_name[code] = raw
        op_type = OP_TYPES[code]
        count = op_type.arity
        if count is None:
            count = cursor.varint("number of inputs", layout.MAX_NODES, least=1)
        sources = tuple(
            values[index - cursor.within("input reference", 1, index)] for _ in range(count)
        )
        op = get_op(cursor, code)
        weight: Weight | None = None
        scale = bias = None
        if isinstance(op, Constant):
            if head & 0xF0 != _KIND_DENSE << 4:
                raise cursor.corrupt("a dense weight alone on Constant", hex(head))
            weight, infos[name] = _decode_weight(cursor, op, kind, decoders, totals)
        elif isinstance(op, Weighted | ChannelAffine):
            if isinstance(op, Weighted):
                weight, infos[name] = _decode_weight(cursor, op, kind, decoders, totals)
            elif head & 0xF0 != _SCALE | _BIAS:
                raise cursor.corrupt("a scale and a bias alone on ChannelAffine", hex(head))
            side = placeholder((filters(op),), np.float32)
            scale = side if head & _SCALE else None
            bias = side if head & _BIAS else None
            given = (scale is not None) + (bias is not None)
            totals.add("side values", given * filters(op), layout.MAX_TOTAL_SIDE)
        elif head & 0xF0:
            raise cursor.corrupt(f"no weight, scale or bias on {op_type.__name__}", hex(head))
        nodes.append(Node(name, op, sources, weight, scale, bias))
        values.append(name)
        known.add(name)
    count = cursor.varint("output count", layout.MAX_OUTPUTS, least=1)
    last = len(values) - 1
    outputs = tuple(values[last - cursor.within("output reference", 0, last)] for _ in range(count))
    cursor.finish()
    by_name = {decoder.name: decoder for decoder in decoders}
    (input_name, shape), *more = inputs.items()
    graph = Graph(
        input_name,
        shape,
        tuple(nodes),
        outputs,
        by_name,
        synthetic,
        more_inputs=dict(more),
        free_size=free_size,
    )
    return Skeleton(graph, infos)


def _decode_inputs(cursor: Cursor) -> tuple[dict[str, Shape], bool]:
    """Names and shapes of the inputs, and whether other heights and widths will do."""
    inputs: dict[str, Shape] = {}
    free_size = more = False
    while not inputs or more:
        name, _ = cursor.text("input name", layout.MAX_NAME_BYTES)
        if name in inputs:
            raise cursor.corrupt("a name that no other input has", repr(name))
        rank = cursor.varint("input rank", 31)
        more = bool(rank & _MORE_INPUTS)
        if rank & _FREE_SIZE:
            if inputs:
                raise cursor.corrupt("the mark of free sizes on the first input only", repr(name))
            free_size = True
        rank &= 7
        if rank > MAX_RANK:
            raise cursor.corrupt(f"an input of at most {MAX_RANK} sizes", f"rank {rank}")
        if len(inputs) == layout.MAX_OUTPUTS:
            raise cursor.corrupt(f"at most {layout.MAX_OUTPUTS} inputs", "more")
        inputs[name] = tuple(
            cursor.varint("input dimension", layout.MAX_DIMENSION, least=1) for _ in range(rank)
        )
    return inputs, free_size


def _decode_decoders(cursor: Cursor) -> list[Decoder]:
    decoders: list[Decoder] = []
    for _ in range(cursor.varint("decoder count", layout.MAX_DECODERS)):
        name, _ = cursor.text("decoder name", layout.MAX_NAME_BYTES)
        if any(decoder.name == name for decoder in decoders):
            raise cursor.corrupt("a decoder name that no other has", repr(name))
        length = cursor.varint("slice length", layout.MAX_SLICE_LENGTH, least=1)
        exponent = cursor.zigzag("decoder exponent", layout.MAX_EXPONENT)
        decoders.append(Decoder(name, placeholder((length, length), np.int32), exponent))
    return decoders


def _decode_weight(
    cursor: Cursor,
    op: Weighted | Constant,
    kind: int,
    decoders: list[Decoder],
    totals: _Totals,
) -> tuple[Weight, WeightInfo]:
    """A weight without its values, and its description."""
    if kind == _KIND_LATENT and not isinstance(op, Constant):
        if not decoders:
            raise cursor.corrupt("a decoder for the latents", "none in the file")
        index = cursor.within("decoder index", 0, len(decoders) - 1)
        length = decoders[index].matrix.shape[0]
        if not is_pointwise(op) and length != math.prod(weight_shape(op)[2:]):
            raise cursor.corrupt(f"slices of {math.prod(weight_shape(op)[2:])}", length)
        info = latent_info(op, length, 0, index)
        totals.add("latents", info.size, layout.MAX_TOTAL_LATENTS)
        weight: Weight = LatentWeight(placeholder(info.shape, np.int32), decoders[index].name)
    elif kind == _KIND_DENSE:
        info = dense_info(op.shape if isinstance(op, Constant) else weight_shape(op), 0)
        totals.add("dense weights", info.size, layout.MAX_TOTAL_DENSE)
        weight = DenseWeight(placeholder(info.shape, np.float32))
    else:
        raise cursor.corrupt("a weight of kind 1 or 2", kind)
    nonzero = cursor.within("count of nonzero slices", 0, info.slices)
    return weight, replace(info, nonzero=nonzero)
