"""Each convolution of a network alone: our kernels beside cuDNN."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gpu.precisions import PRECISIONS, Precision, torch_settings
from gpu.timing import Clock, Deadline, alternate, buffers_needed
from lilnetx.bench.layers import LayerShape, layer_graph, layer_shapes
from lilnetx.graph.ir import Conv2d
from lilnetx.graph.weights import dense_weight
from lilnetx.runtime.packed import PackedSlices, pack_weight, unpack_slices

DENSITY = 0.19
BATCHES = (64, 1)
_SECONDS_A_LAYER = 0.15


@dataclass(frozen=True)
class LayerJob:
    """One layer in one way: what one comparison is made of."""

    shape: LayerShape
    batch: int
    precision: Precision

    def __str__(self) -> str:
        return f"{self.shape}, batch {self.batch}, {self.precision.name}"


@dataclass(frozen=True)
class _Way:
    """A contender: its call, and how it wants its input to lie in memory."""

    name: str
    call: Callable[[Any], Any]
    place: Callable[[Any], Any]
    kernel: str
    reason: str
    predicted_ms: float | None = None


def jobs(network: str = "resnet50") -> list[LayerJob]:
    """All comparisons, those of most layers first, so that what is left out at the end is least."""
    shapes = sorted(layer_shapes(network), key=lambda shape: -shape.count)
    return [
        LayerJob(shape, batch, precision)
        for batch in BATCHES
        for precision in PRECISIONS
        for shape in shapes
        if not shape.first
    ]


def measure(
    job: LayerJob, clock: Clock, backends: tuple[str, ...], device: Any
) -> Iterator[dict[str, object]]:
    """Rows of one comparison; each contender's output is checked before it is timed.

    Args:
        job: What to compare.
        clock: The GPU's.
        backends: Those of ours that run on this machine: ``"triton"``, ``"cuda"``.
        device: The torch device.
    """
    import torch

    graph = layer_graph(job.shape, DENSITY, slice_1x1=4)
    (node,) = graph.nodes
    op = job.shape.op
    dtype = getattr(torch, job.precision.dtype)
    slices = unpack_slices(pack_weight(graph, node), node.scale)
    weight = torch.from_numpy(dense_weight(graph, node)).to(device)
    bias = torch.from_numpy(node.bias).to(device)
    rng = np.random.default_rng(0)
    image = rng.standard_normal((job.batch, op.in_channels, *job.shape.size), np.float32)
    x = torch.from_numpy(image).to(device)
    with torch_settings(PRECISIONS[0]):
        expected = torch.nn.functional.conv2d(
            x, weight, bias, op.stride, op.padding, op.dilation, op.groups
        ).relu()
    x = x.to(dtype)
    moved = (x.numel() + expected.numel()) * x.element_size() + weight.numel() * 4
    sets = buffers_needed(moved, torch.cuda.get_device_properties(device).L2_cache_size)
    found = {}
    for way in _ways(job, slices, weight, bias, x, backends, device):
        error = float((way.call(way.place(x)).float() - expected).abs().max())
        error /= float(expected.abs().max())
        if not error <= job.precision.tolerance:
            raise ArithmeticError(f"{job}, {way.name}: relative error {error:.1e}")
        found[way.name] = (way, error)
    images = [x] + [x.clone() for _ in range(sets - 1)]
    with torch_settings(job.precision), torch.no_grad():
        calls = {
            name: [partial(way.call, way.place(image)) for image in images]
            for name, (way, _) in found.items()
        }
        timings = alternate(calls, clock, seconds=_SECONDS_A_LAYER)
    pixels = job.batch * job.shape.out_size[0] * job.shape.out_size[1]
    dense = 2 * pixels * weight.numel()
    useful = 2 * pixels * int((weight != 0).sum())
    for name, timing in timings.items():
        way, error = found[name]
        yield {
            "kind": "layer",
            "name": str(job.shape),
            "count": job.shape.count,
            "batch": job.batch,
            "precision": job.precision.name,
            "contender": name,
            "kernel": way.kernel,
            "reason": way.reason,
            "median_ms": timing.median_ms,
            "p20_ms": timing.p20_ms,
            "p80_ms": timing.p80_ms,
            "calls": timing.calls,
            "predicted_ms": way.predicted_ms,
            "dense_equivalent_tflops": dense / timing.median_ms / 1e9,
            "useful_tflops": useful / timing.median_ms / 1e9,
            "relative_error": error,
        }


def _ways(
    job: LayerJob,
    slices: PackedSlices,
    weight: Any,
    bias: Any,
    x: Any,
    backends: tuple[str, ...],
    device: Any,
) -> Iterator[_Way]:
    """Our kernels in each form that there is, and cuDNN in both orders in memory."""
    import torch

    op = job.shape.op
    if "triton" in backends:
        from lilnetx.backends.convolutions import TritonConvolution

        for form in ("gathered", "union"):
            maker = type(form, (TritonConvolution,), {"forms": (form,)})
            layer = maker(op, slices, bias, device, job.precision.ours)
            kernel, reason = layer.describe(x, False)
            ours = partial(_ours, layer)
            predicted = layer.predicted_us(x, False) / 1e3
            yield _Way(f"triton {form}", ours, layer.place, kernel, reason, predicted)
    if "cuda" in backends:
        from lilnetx.backends.cuda import CudaConvolution

        for form in ("gconv", "uconv"):
            layer = CudaConvolution(op, slices, bias, device, form=form)
            kernel, reason = layer.describe(x, False)
            if kernel == f"{form}__cuda":
                yield _Way(f"cuda {form}", partial(_ours, layer), _contiguous, kernel, reason)
    bias = bias.to(x.dtype)
    for name, order in (
        ("contiguous", torch.contiguous_format),
        ("channels_last", torch.channels_last),
    ):
        placed = weight.to(x.dtype).contiguous(memory_format=order)
        call = partial(_dense, op, placed, bias)
        place = partial(_contiguous, memory_format=order)
        yield _Way(f"cudnn {name}", call, place, "conv2d__cudnn", "dense")


def _ours(layer: Any, x: Any) -> Any:
    return layer(x, None, "relu")


def _dense(op: Conv2d, weight: Any, bias: Any, x: Any) -> Any:
    import torch

    y = torch.nn.functional.conv2d(x, weight, bias, op.stride, op.padding, op.dilation, op.groups)
    return y.relu_()


def _contiguous(x: Any, **order: Any) -> Any:
    return x.contiguous(**order)


def run(
    clock: Clock, backends: tuple[str, ...], device: Any, deadline: Deadline
) -> tuple[list[dict[str, object]], list[str]]:
    """Rows of as many comparisons as there is time for, and what was left out."""
    rows: list[dict[str, object]] = []
    missing = []
    for job in jobs():
        if deadline.left < 0:
            missing.append(str(job))
            continue
        rows += measure(job, clock, backends, device)
    return rows, missing
