"""One case of the table by one form of the kernels, and the float64 result beside it."""

from __future__ import annotations

import cases
import kernels_under_test
import numpy as np
import torch

from lilnetx.graph.ir import Node
from lilnetx.graph.shapes import conv_output
from lilnetx.graph.weights import dense_weight
from lilnetx.reference.images import conv2d
from lilnetx.reference.ops import run_node

KERNELS = kernels_under_test.load()
CONFIGS = kernels_under_test.submodule("configs")
DEVICES = kernels_under_test.submodule("devices")
PROBLEM = kernels_under_test.submodule("problem")
UNIONS = kernels_under_test.submodule("unions")


def expected_of(case, graph, x, residual):
    """The result in float64 for the inputs as the kernel gets them."""
    node = graph.node("conv")
    bias = np.zeros(case.filters) if node.bias is None else node.bias.astype(np.float64)
    y = conv2d(
        x.double().cpu().numpy(), dense_weight(graph, node).astype(np.float64), bias, case.op
    )
    if residual is not None:
        y = y + residual.double().cpu().numpy()
    if case.activation != "none":
        op = cases.ACTIVATION_OPS[case.activation]()
        y = run_node(graph, Node("activation", op, ("y",)), [y])
    return y


def compute(case, graph, form, x, residual, scale=1.0):
    """The kernel's result, on the device of ``x``, half of the weights being scaled."""
    node = graph.node("conv")
    slices = KERNELS.gather_slices(
        torch.from_numpy(dense_weight(graph, node)).to(x.device),
        groups=case.groups,
        slice_channels=case.g,
    )
    slices.values[: len(slices.values) // 2 + 1] *= scale
    arguments = {
        "stride": case.stride,
        "padding": case.padding,
        "dilation": case.dilation,
        "bias": None if node.bias is None else torch.from_numpy(node.bias).to(x.device),
        "residual": residual,
        "activation": case.activation,
    }
    config = config_of(case, form, x)
    if form == "gathered":
        return KERNELS.gathered_conv(x, slices, config=config, **arguments)
    run = UNIONS.run_lengths(case.channels // case.groups, x.element_size())[0]
    blocks = UNIONS.make_blocks(slices.channels_read(), case.groups, config.filters, run)
    weights = KERNELS.union_weights(slices, blocks, config.channels, x.dtype)
    return KERNELS.union_conv(x, slices, weights, config, **arguments)


def config_of(case, form, x):
    """What a plan would choose first; larger blocks in the interpreter, whose time is programs'."""
    pixels = out_size(case)[0] * out_size(case)[1]
    if x.is_cuda:
        problem = PROBLEM.ConvProblem(
            len(x), case.channels, case.size, case.filters, case.kernel, case.stride,
            case.padding, case.dilation, case.groups, case.g,
            dtype=str(x.dtype).removeprefix("torch."),
        )  # fmt: skip
        if form == "gathered":
            return CONFIGS.gathered_configs(problem, 1)[-1]
        run = UNIONS.run_lengths(problem.group_channels, x.element_size())[0]
        return CONFIGS.union_configs(problem, DEVICES.A100, "tf32x3", run)[0]
    if form == "gathered":
        return CONFIGS.GatheredConfig(block_of(pixels, 32, 4096), 4, 1)
    return CONFIGS.UnionConfig(
        block_of(pixels, 16, 1024),
        block_of(case.filters // case.groups, 16, 32),
        block_of(case.channels // case.groups, 16, 64),
        4,
        2,
    )


def block_of(size, least, most):
    """A power of two that holds ``size``, within bounds."""
    return max(least, min(most, 1 << (size - 1).bit_length()))


def out_size(case):
    op = case.op
    return tuple(
        conv_output(case.size[i], op.kernel[i], op.stride[i], op.padding[i], op.dilation[i])
        for i in (0, 1)
    )


def inputs(case, graph, dtype):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((1, *graph.input_shape))).to(dtype)
    shape = (1, case.filters, *out_size(case))
    return x, torch.from_numpy(rng.standard_normal(shape)).to(dtype) if case.residual else None


def error_of(actual, expected):
    return float(
        np.abs(actual.double().cpu().numpy() - expected).max() / max(np.abs(expected).max(), 1e-30)
    )
