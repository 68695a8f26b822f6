"""Predicted times of ResNet-50's layers on GPUs: the cost model with what compilers made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gpu.resnet50 import GpuLayer

Row = dict[str, Any]


@dataclass(frozen=True)
class Compiled:
    """Rows of compiled kernels, see kernels/README.md.

    Attributes:
        triton: By name and architecture.
        cuda: All rows of the CUDA kernels; none where they were not compiled.
    """

    triton: dict[tuple[str, str], Row]
    cuda: list[Row]


def predict(layer: GpuLayer, device: Any, compiled: Compiled) -> list[Row]:
    """A row for each kernel that can do the layer, and for a dense convolution at the roof."""
    from lilnetx.kernels.cost import dense_cost

    rows = [_row(layer, device, *found) for found in _triton(layer, device, compiled)]
    rows += [_row(layer, device, *found) for found in _cuda(layer, device, compiled)]
    estimate = dense_cost(layer.problem, device)
    rows.append(_row(layer, device, "dense", estimate, None))
    if layer.problem.dtype == "float32":
        estimate = dense_cost(layer.problem, device, precision="tf32")
        rows.append(_row(layer, device, "dense tf32", estimate, None))
    return rows


def _triton(
    layer: GpuLayer, device: Any, compiled: Compiled
) -> Iterator[tuple[str, Any, Row | None]]:
    from lilnetx.kernels.cost import gathered_cost, union_cost
    from lilnetx.kernels.names import candidate_name
    from lilnetx.kernels.plan import make_plan, padded_union

    problem = layer.problem
    for form in ("gathered", "union"):
        chosen = make_plan(problem, layer.reads, device, forms=(form,)).chosen
        code = compiled.triton[candidate_name(problem, chosen, "relu"), device.arch]
        if form == "gathered":
            inner = problem.images if chosen.layout == "batch_last" else 1
            estimate = gathered_cost(
                problem, chosen.config, device, inner, registers=code["registers"]
            )
        else:
            estimate = union_cost(
                problem,
                chosen.config,
                device,
                len(chosen.blocks.runs),
                padded_union(chosen.blocks, chosen.config.channels),
                registers=code["registers"],
                shared_bytes=code["shared_bytes"],
            )
        yield f"triton {form}", estimate, code


def _cuda(
    layer: GpuLayer, device: Any, compiled: Compiled
) -> Iterator[tuple[str, Any, Row | None]]:
    """The best of the CUDA kernels that are compiled for the layer, of each form."""
    from lilnetx.kernels.configs import WARP, GatheredConfig, UnionConfig
    from lilnetx.kernels.cost import gathered_cost, union_cost
    from lilnetx.kernels.plan import padded_union
    from lilnetx.kernels.unions import make_blocks

    problem = layer.problem
    best: dict[str, tuple[str, Any, Row | None]] = {}
    for code in compiled.cuda:
        window = code["window"] in ([0, 0], list(problem.kernel))
        if (code["arch"], code["dtype"]) != (device.arch, problem.dtype) or not window:
            continue
        if code["precision"] == "tf32":
            continue
        tile, warps, registers = code["tile"], code["threads"] // WARP, code["registers"]
        if code["form"] == "a":
            # The filters of a block are computed side by side, each by threads of its own.
            own = max(1, warps // tile["filters"])
            estimate = gathered_cost(
                problem,
                GatheredConfig(max(tile["pixels"], own * WARP), own, 1),
                device,
                1,
                registers=registers,
                vector=16 // problem.item_bytes if code["loop_loads"]["16"] else 1,
            )
        else:
            blocks = make_blocks(layer.reads, problem.groups, tile["filters"], 1)
            estimate = union_cost(
                problem,
                UnionConfig(tile["pixels"], tile["filters"], tile["channels"], warps, 2),
                device,
                len(blocks.runs),
                padded_union(blocks, tile["channels"]),
                registers=registers,
                shared_bytes=code["shared_bytes"],
            )
        name = f"cuda {'lists' if code['form'] == 'a' else 'blocks'}"
        if name not in best or estimate.total < best[name][1].total:
            best[name] = (name, estimate, code)
    yield from best.values()


def _row(layer: GpuLayer, device: Any, contender: str, estimate: Any, code: Row | None) -> Row:
    code = code or {}
    blocks = ""
    if code:
        blocks = device.occupancy(code["threads"], code["registers"], code["shared_bytes"])
    problem = layer.problem
    return {
        "device": device.name,
        "arch": device.arch,
        "layer": str(layer.shape),
        "count": layer.shape.count,
        "batch": problem.images,
        "dtype": problem.dtype,
        "density": round(problem.density, 4),
        "contender": contender,
        "kernel": code.get("kernel", ""),
        "predicted_us": round(estimate.total, 3),
        "bound": estimate.bound,
        "bytes": estimate.bytes,
        "operations": estimate.operations,
        "useful_operations": 2 * problem.macs_left,
        "registers": code.get("registers", ""),
        "shared_bytes": code.get("shared_bytes", ""),
        "spill_bytes": code.get("spill_bytes", ""),
        "blocks_per_sm": blocks,
        "occupancy": round(blocks * code["threads"] / device.max_threads, 3) if code else "",
        "mma": code.get("mma", ""),
        "wgmma": code.get("wgmma", ""),
        "fma": code.get("fma", ""),
        "loop_loads_16": code["loop_loads"]["16"] if code else "",
    }
