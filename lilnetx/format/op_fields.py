"""Fields of operators as bytes, by their types; the rule for every operator without its own."""

from __future__ import annotations

import dataclasses
import struct
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from lilnetx.format.cursor import Cursor, Sink
from lilnetx.format.layout import MAX_DIMENSION
from lilnetx.graph.ir import Op
from lilnetx.graph.ops.base import MAX_RANK

_FIELDS: dict[type[Op], tuple[tuple[str, Any], ...]] = {}


def _fields(op_type: type[Op]) -> tuple[tuple[str, Any], ...]:
    """Names and types of an operator's fields, in order."""
    if op_type not in _FIELDS:
        hints = get_type_hints(op_type)
        names = [field.name for field in dataclasses.fields(op_type)]  # type: ignore[arg-type]
        _FIELDS[op_type] = tuple((name, hints[name]) for name in names)
    return _FIELDS[op_type]


def put_fields(sink: Sink, op: Op) -> None:
    """Appends all fields of an operator."""
    for name, kind in _fields(type(op)):
        _put(sink, kind, getattr(op, name))


def get_fields(cursor: Cursor, op_type: type[Op]) -> Op:
    """Reads all fields; what they may be beside their types, ``Op.check`` says."""
    return op_type(*(_get(cursor, kind, name) for name, kind in _fields(op_type)))


def _put(sink: Sink, kind: Any, value: Any) -> None:
    origin = get_origin(kind)
    if origin is Literal:
        sink.u8(get_args(kind).index(value))
    elif origin in (Union, types.UnionType):
        sink.u8(value is not None)
        if value is not None:
            _put(sink, get_args(kind)[0], value)
    elif origin is tuple:
        item, *rest = get_args(kind)
        if rest == [...]:
            sink.u8(len(value))
        for part in value:
            _put(sink, item, part)
    elif kind is bool:
        sink.u8(value)
    elif kind is float:
        sink.raw(struct.pack("<f", value))
    else:
        sink.zigzag(value)


def _get(cursor: Cursor, kind: Any, name: str) -> Any:
    origin = get_origin(kind)
    if origin is Literal:
        options = get_args(kind)
        return options[_below(cursor, name, len(options))]
    if origin in (Union, types.UnionType):
        return _get(cursor, get_args(kind)[0], name) if _below(cursor, name, 2) else None
    if origin is tuple:
        item, *rest = get_args(kind)
        count = _below(cursor, f"length of {name}", MAX_RANK + 1) if rest == [...] else 2
        return tuple(_get(cursor, item, name) for _ in range(count))
    if kind is bool:
        return bool(_below(cursor, name, 2))
    if kind is float:
        (value,) = struct.unpack("<f", cursor.take(4))
        if value != value:
            raise cursor.corrupt(f"a number for {name}", "NaN")
        return value
    return cursor.zigzag(name, MAX_DIMENSION)


def _below(cursor: Cursor, name: str, limit: int) -> int:
    value = cursor.u8()
    if value >= limit:
        raise cursor.corrupt(f"{name} below {limit}", value)
    return value


__all__ = ["get_fields", "put_fields"]
