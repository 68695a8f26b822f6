"""Operators as bytes: one code each, then the fields that differ from the common case."""

from __future__ import annotations

from lilnetx.format.cursor import Cursor, Sink
from lilnetx.format.layout import MAX_DIMENSION, MAX_WINDOW
from lilnetx.graph.ir import (
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    HardSigmoid,
    HardSwish,
    Linear,
    MaxPool2d,
    Op,
    Pair,
    Relu,
    Relu6,
    Sigmoid,
    Silu,
    Softmax,
)

# Position = code in the file.
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
)
OP_CODES: dict[type[Op], int] = {op: code for code, op in enumerate(OP_TYPES)}
INPUT_COUNTS: dict[type[Op], int] = {Add: 2}

_SQUARE, _STRIDE, _PADDING, _DILATION, _GROUPS = 1, 2, 4, 8, 16
_CEIL, _COUNT_PAD = 1, 2


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
        sink.u8((_CEIL if op.ceil_mode else 0) | (_COUNT_PAD if counts_pad else 0))
        _put_pair(sink, op.kernel)
        _put_pair(sink, op.stride)
        _put_pair(sink, op.padding)


def get_op(cursor: Cursor, op_type: type[Op]) -> Op:
    """Reads and checks an operator's fields."""
    if op_type is Conv2d:
        return _get_conv(cursor)
    if op_type is Linear:
        features_in = cursor.varint("input features", MAX_DIMENSION, least=1)
        return Linear(features_in, cursor.varint("output features", MAX_DIMENSION, least=1))
    if op_type is MaxPool2d or op_type is AvgPool2d:
        flags = cursor.u8()
        if flags >= (4 if op_type is AvgPool2d else 2):
            raise cursor.corrupt("known pooling flags", hex(flags))
        kernel = _get_pair(cursor, "kernel", 1)
        stride = _get_pair(cursor, "stride", 1)
        padding = _get_pair(cursor, "padding", 0)
        if op_type is MaxPool2d:
            return MaxPool2d(kernel, stride, padding, bool(flags & _CEIL))
        return AvgPool2d(kernel, stride, padding, bool(flags & _CEIL), bool(flags & _COUNT_PAD))
    return op_type()  # type: ignore[call-arg]  # The remaining operators have no fields.


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
