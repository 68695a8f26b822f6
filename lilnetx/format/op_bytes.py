"""Operators as bytes: one code each, then the fields; common ones in a shorter form."""

from __future__ import annotations

from lilnetx.errors import GraphError
from lilnetx.format.cursor import Cursor, Sink
from lilnetx.format.layout import MAX_DIMENSION, MAX_WINDOW
from lilnetx.format.op_fields import get_fields, put_fields
from lilnetx.graph.ir import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    Add,
    AvgPool2d,
    ChannelAffine,
    Clip,
    Concat,
    Constant,
    Conv2d,
    ConvTranspose2d,
    Div,
    Flatten,
    Gelu,
    GeluTanh,
    GlobalAvgPool,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Linear,
    MatMul,
    MaxPool2d,
    Mul,
    Op,
    Pad,
    Pair,
    Reduce,
    Relu,
    Relu6,
    Reshape,
    Resize,
    Sigmoid,
    Silu,
    Slice,
    Softmax,
    Sub,
    Transpose,
)

# Position = code in the file. A new operator goes at the end; the rest of its bytes follows from
# the types of its fields.
OP_TYPES: tuple[type[Op], ...] = (
    Conv2d,
    Linear,
    MaxPool2d,
    AvgPool2d,
    GlobalAvgPool,
    Flatten,
    Relu,
    Add,
    Softmax,
    Relu6,
    HardSwish,
    Silu,
    HardSigmoid,
    Sigmoid,
    Concat,
    ConvTranspose2d,
    ChannelAffine,
    Constant,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    LeakyRelu,
    Clip,
    Gelu,
    GeluTanh,
    Sub,
    Mul,
    Div,
    MatMul,
    Reshape,
    Transpose,
    Slice,
    Pad,
    Reduce,
    Resize,
    Softmax,
)
_CODES: dict[type[Op], int] = {op: code for code, op in enumerate(OP_TYPES)}
_SOFTMAX_0 = OP_TYPES.index(Softmax)  # the common one, of axis 0, has a code without fields


def op_code(op: Op) -> int:
    """An operator's code."""
    return _SOFTMAX_0 if op == Softmax(0) else _CODES[type(op)]


_SQUARE, _STRIDE, _PADDING, _DILATION, _GROUPS = 1, 2, 4, 8, 16
_CEIL, _COUNT_PAD, _ENDS, _POOL_DILATION = 1, 2, 4, 8


def put_op(sink: Sink, op: Op) -> None:
    """Appends an operator's fields."""
    if isinstance(op, Conv2d):
        square = op.kernel[0] == op.kernel[1]
        sink.u8(
            (_SQUARE if square else 0)
            | (_STRIDE if op.stride != (1, 1) else 0)
            | (_PADDING if op.padding != (0, 0) else 0)
            | (_DILATION if op.dilation != (1, 1) else 0)
            | (_GROUPS if op.groups != 1 else 0)
        )
        sink.varint(op.in_channels)
        sink.varint(op.out_channels)
        _put_pair(sink, op.kernel[: 1 if square else 2])
        if op.stride != (1, 1):
            _put_pair(sink, op.stride)
        if op.padding != (0, 0):
            _put_pair(sink, op.padding)
        if op.dilation != (1, 1):
            _put_pair(sink, op.dilation)
        if op.groups != 1:
            sink.varint(op.groups)
    elif isinstance(op, Linear):
        sink.varint(op.in_features)
        sink.varint(op.out_features)
    elif isinstance(op, MaxPool2d | AvgPool2d):
        counts_pad = isinstance(op, AvgPool2d) and op.count_include_pad
        sink.u8(
            (_CEIL if op.ceil_mode else 0)
            | (_COUNT_PAD if counts_pad else 0)
            | (_ENDS if op.padding_end is not None else 0)
            | (_POOL_DILATION if op.dilation != (1, 1) else 0)
        )
        _put_pair(sink, op.kernel)
        _put_pair(sink, op.stride)
        _put_pair(sink, op.padding)
        if op.padding_end is not None:
            _put_pair(sink, op.padding_end)
        if op.dilation != (1, 1):
            _put_pair(sink, op.dilation)
    elif op != Softmax(0):
        put_fields(sink, op)


def get_op(cursor: Cursor, code: int) -> Op:
    """Reads and checks the fields of the operator of a code."""
    op_type = OP_TYPES[code]
    if code == _SOFTMAX_0:
        return Softmax(0)
    if op_type is Conv2d:
        return _get_conv(cursor)
    if op_type is Linear:
        features_in = cursor.varint("input features", MAX_DIMENSION, least=1)
        return Linear(features_in, cursor.varint("output features", MAX_DIMENSION, least=1))
    if op_type is MaxPool2d or op_type is AvgPool2d:
        return _get_pool(cursor, op_type)
    op = get_fields(cursor, op_type)
    if op == Softmax(0):
        raise cursor.corrupt("softmax of axis 0 under its own code", "the long form")
    try:
        op.check()
    except GraphError as error:
        raise cursor.corrupt(f"fields of {op_type.__name__} that fit together", error) from error
    return op


def _get_pool(cursor: Cursor, op_type: type[Op]) -> Op:
    flags = cursor.u8()
    known = _CEIL | _ENDS | _POOL_DILATION | (_COUNT_PAD if op_type is AvgPool2d else 0)
    if flags & ~known:
        raise cursor.corrupt("known pooling flags", hex(flags))
    kernel = _get_pair(cursor, "kernel", 1)
    stride = _get_pair(cursor, "stride", 1)
    padding = _get_pair(cursor, "padding", 0)
    end = _get_pair(cursor, "padding", 0) if flags & _ENDS else None
    dilation = _get_pair(cursor, "dilation", 1) if flags & _POOL_DILATION else (1, 1)
    ceil = bool(flags & _CEIL)
    if op_type is MaxPool2d:
        return MaxPool2d(kernel, stride, padding, ceil, end, dilation)
    return AvgPool2d(kernel, stride, padding, ceil, bool(flags & _COUNT_PAD), end, dilation)


def _get_conv(cursor: Cursor) -> Conv2d:
    flags = cursor.u8()
    if flags >= 32:
        raise cursor.corrupt("known convolution flags", hex(flags))
    in_channels = cursor.varint("input channels", MAX_DIMENSION, least=1)
    out_channels = cursor.varint("output channels", MAX_DIMENSION, least=1)
    if flags & _SQUARE:
        side = cursor.varint("kernel", MAX_WINDOW, least=1)
        kernel = (side, side)
    else:
        kernel = _get_pair(cursor, "kernel", 1)
    stride = _get_pair(cursor, "stride", 1) if flags & _STRIDE else (1, 1)
    padding = _get_pair(cursor, "padding", 0) if flags & _PADDING else (0, 0)
    dilation = _get_pair(cursor, "dilation", 1) if flags & _DILATION else (1, 1)
    groups = cursor.within("groups", 1, in_channels) if flags & _GROUPS else 1
    if in_channels % groups or out_channels % groups:
        raise cursor.corrupt(
            "channels that are multiples of the groups", f"{in_channels}, {out_channels}, {groups}"
        )
    return Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, groups)


def _put_pair(sink: Sink, pair: tuple[int, ...]) -> None:
    for value in pair:
        sink.varint(value)


def _get_pair(cursor: Cursor, what: str, least: int) -> Pair:
    first = cursor.varint(what, MAX_WINDOW, least=least)
    return first, cursor.varint(what, MAX_WINDOW, least=least)
