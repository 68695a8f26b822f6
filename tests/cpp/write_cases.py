"""Writes the cases of the C++ test program: plans, inputs and what the float64 reference gives.

    lnx_test traits > traits.txt
    python tests/cpp/write_cases.py traits.txt cases.bin
    lnx_test run cases.bin

A plan depends on the instruction set, so the program, which may be for another machine, first says
which ones it has; without any (an empty file) there are no networks, only streams and weights.
Everything is recorded where it happens: the calls with which the runtime builds a network, and the
streams that the extension decodes while a file is read.
"""

from __future__ import annotations

import argparse
import math
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "runtime")]

from cases import ACTIVATION_OPS, CASES, conv_graph
from operator_cases import CASES as OPERATOR_CASES
from operator_cases import case_id, operator_graph
from random_networks import POOLS, pool_network, residual_network, wide_network
from tolerances import LAYER, NETWORK

import lilnetx.models
from lilnetx import _core
from lilnetx.format import read_lnx, write_lnx
from lilnetx.graph.ir import Graph, LatentWeight, Node, Softmax
from lilnetx.packing.synth import synth
from lilnetx.reference import run
from lilnetx.runtime import problem
from lilnetx.runtime.build import build_network
from lilnetx.runtime.packed import pack_graph, unpack_slices
from lilnetx.runtime.plan import make_plan

BATCH = 2  # fewer than the program's threads, so that they share layers; twice that is more


class Writer:
    """The counterpart of case_reader.h."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def integer(self, value: int) -> None:
        self.parts.append(struct.pack("<q", int(value)))

    def bytes(self, value: bytes) -> None:
        self.integer(len(value))
        self.parts.append(bytes(value))

    def text(self, value: str) -> None:
        self.bytes(value.encode())

    def integers(self, values: Any) -> None:
        array = np.asarray(values).ravel()
        self.integer(array.size)
        self.parts.append(array.astype("<i8").tobytes())

    def reals(self, values: Any) -> None:
        array = np.asarray(values).ravel()
        self.integer(array.size)
        self.parts.append(array.astype("<f4").tobytes())

    def any(self, value: Any) -> None:
        """An argument of a call: tuples without their length, None and others as a flag first."""
        if isinstance(value, str):
            self.text(value)
        elif isinstance(value, np.ndarray):
            (self.reals if value.dtype == np.float32 else self.integers)(value)
        elif isinstance(value, list):
            self.integer(len(value))
            for item in value:
                self.any(item)
        elif isinstance(value, tuple):
            for item in value:
                self.any(item)
        else:
            self.integer(value)


def dense_slices(weight: _core.PackedWeight, scale: np.ndarray | None) -> np.ndarray:
    """A packed weight as float32 (F, S, n), scaled."""
    packed = unpack_slices(weight, scale)
    s = packed.shape
    dense = np.zeros((s.filters, s.slices, s.length), np.float32)
    filters = np.repeat(np.arange(s.filters), np.diff(packed.filter_ptr.astype(np.int64)))
    first = filters // (s.filters // s.groups) * (s.channels // s.groups)
    dense[filters, (packed.channel - first) // s.channels_per_slice] = packed.values
    return dense


class RecordedNetwork:
    """Stands in for the extension's network, and writes down the calls."""

    def __init__(self, isa: str, threads: int, arena_floats: int) -> None:
        self.writer = Writer()
        self.calls = 0

    def prepare(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **named: Any) -> None:
            self.calls += 1
            self.writer.text(name)
            optional = {"add_conv": "residual", "add_elementwise": 1}.get(name)
            scale = named.pop("scale", None)
            for key, value in [*enumerate(args), *named.items()]:
                if key == optional:
                    self.writer.integer(value is not None)
                if key == "weight":
                    self.writer.any(value.shape)
                    self.writer.reals(dense_slices(value, scale))
                elif value is not None:
                    self.writer.any(value)

        return call


def write_network(writer: Writer, name: str, graph: Graph, isa: str, bound: float) -> None:
    """One network with random input and the reference's outputs."""
    weights = pack_graph(graph)
    plan = make_plan(graph, isa, weights)
    with mock.patch.object(_core, "Network", RecordedNetwork):
        recorded: Any = build_network(plan, weights, 1)
    rng = np.random.default_rng(1)
    inputs = {
        name: rng.normal(size=(BATCH, *shape)).astype(np.float32)
        for name, shape in graph.inputs.items()
    }
    outputs = run(graph, inputs)
    writer.text("network")
    writer.text(f"{name} {isa}")
    writer.text(isa)
    writer.integer(plan.arena_floats)
    writer.integer(recorded.calls)
    writer.parts += recorded.writer.parts
    writer.integer(BATCH)
    writer.integer(len(inputs))
    for x in inputs.values():
        writer.reals(x)
    writer.integer(len(outputs))
    for output in outputs:
        writer.reals(output)
    writer.reals([bound * max(np.abs(output).max(), 1e-3) for output in outputs])


def networks() -> Iterator[tuple[str, Graph, float]]:
    """All networks with their names and error bounds."""
    for case in CASES:
        yield str(case), conv_graph(case), LAYER["float32"]
    for op in POOLS:
        for size in ((4, 5), (7, 7), (13, 33)):
            yield f"{type(op).__name__}@{size}", pool_network(size, op), LAYER["float32"]
    for name, op_type in ACTIVATION_OPS.items():
        for shape in ((5,), (48,), (3, 5, 6)):
            nodes = (Node("y", op_type(), ("x",)),)  # type: ignore[call-arg]
            yield f"{name}@{shape}", Graph("x", shape, nodes, ("y",)), LAYER["float32"]
    softmax = Graph("x", (37,), (Node("y", Softmax(), ("x",)),), ("y",))
    yield "softmax", softmax, LAYER["float32"]
    for case in OPERATOR_CASES:
        if not any(value == -math.inf for value in vars(case[0]).values()):
            yield case_id(case), operator_graph(*case), LAYER["float32"]
    for seed in range(4):
        yield f"residual{seed}", residual_network(seed), NETWORK["float32"]
    yield "wide", wide_network(), NETWORK["float32"]


def write_weights(writer: Writer, name: str, graph: Graph) -> None:
    """All latents of a graph with decoder and scales, and the floats that they stand for here."""
    packed = pack_graph(graph)
    for node in graph.nodes:
        if not isinstance(node.weight, LatentWeight):
            continue
        weight, decoder = packed[node.name], graph.decoders[node.weight.decoder]
        writer.text("weight")
        writer.text(f"{name} {node.name}")
        writer.any(weight.shape)
        writer.integers(node.weight.latents)
        writer.integers(decoder.matrix)
        writer.integer(decoder.exponent)
        writer.reals([] if node.scale is None else node.scale)
        for array in weight.unpack(node.scale):
            writer.any(array)


def write_streams(writer: Writer, path: Path) -> None:
    """The streams of a file, with the integers that this machine decodes."""
    decode_latents, decode_ints = _core.decode_latents, _core.decode_ints
    decode_text = _core.decode_text
    found: list[str] = []

    def latents(
        data: memoryview, streams: Any, out: Any, models: Any, nonzero: Any, threads: int
    ) -> list[str | None]:
        defects = decode_latents(data, streams, out, models, nonzero, threads)
        at = first = 0
        for count, length in streams:
            stream = bytes(data[at : at + length])
            writer.text("latents")
            writer.text(f"{path.name} {len(found)}")
            writer.bytes(stream)
            writer.integer(_core.crc32c(stream))
            writer.integer(count)
            for i in range(first, first + count):
                for value in (*out[i].shape, models[i], nonzero[i]):
                    writer.integer(value)
                writer.integers(out[i])
            at, first = at + length, first + count
            found.append("latents")
        return defects

    def integers(data: memoryview, out: Any, kinds: Any, live: Any) -> str | None:
        defect = decode_ints(data, out, kinds, live)
        writer.text("integers")
        writer.text(f"{path.name} {len(found)}")
        writer.bytes(bytes(data))
        writer.integer(len(out))
        for vector, kind, mask in zip(out, kinds, live, strict=True):
            writer.integer(kind)
            writer.bytes(b"" if mask is None else mask.tobytes())
            writer.integers(vector)
        found.append("integers")
        return defect

    def text(data: memoryview, count: int) -> bytes | str:
        decoded = decode_text(data, count)
        assert isinstance(decoded, bytes)
        writer.text("text")
        writer.text(f"{path.name} {len(found)}")
        writer.bytes(bytes(data))
        writer.bytes(decoded)
        found.append("text")
        return decoded

    with (
        mock.patch.object(_core, "decode_text", text),
        mock.patch.object(_core, "decode_latents", latents),
        mock.patch.object(_core, "decode_ints", integers),
    ):
        read_lnx(path)
    assert {"latents", "integers", "text"} <= set(found), f"{path} was read in another way"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traits", type=Path, help="what 'lnx_test traits' printed")
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    writer = Writer()
    for shipped in sorted(Path(lilnetx.models.__path__[0]).glob("*.lnx")):
        write_streams(writer, shipped)
        write_weights(writer, shipped.name, read_lnx(shipped))
    synthetic = arguments.output.with_suffix(".lnx")
    write_lnx(synth("resnet20", density=0.3, seed=3, slice_1x1=4), synthetic)
    write_streams(writer, synthetic)
    write_weights(writer, synthetic.name, read_lnx(synthetic))
    for case in CASES[::10]:
        write_weights(writer, str(case), conv_graph(case))
    names = list(_core.isa_traits(_core.available_isas()[0]))
    for line in arguments.traits.read_text().splitlines():
        isa, *numbers = line.split()
        traits = dict(zip(names, map(int, numbers), strict=True))
        with mock.patch.object(problem, "_traits", lambda _, traits=traits: traits):
            for name, graph, bound in networks():
                write_network(writer, name, graph, isa, bound)
    arguments.output.write_bytes(b"".join(writer.parts))


if __name__ == "__main__":
    main()
