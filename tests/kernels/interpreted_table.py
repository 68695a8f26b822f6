"""The one table of cases, by Triton kernels in the interpreter; run by test_triton.py."""

from __future__ import annotations

import cases
import kernels_under_test
import numpy as np
import pytest
import table
import torch
from tolerances import LAYER

from lilnetx.graph.activations import ACTIVATION_FUNCTIONS
from lilnetx.graph.shapes import conv_output
from lilnetx.graph.weights import dense_weight
from lilnetx.reference.ops import conv2d

KERNELS = kernels_under_test.load()
CONFIGS = kernels_under_test.submodule("configs")
UNIONS = kernels_under_test.submodule("unions")


def expected_of(case, graph, x, residual):
    """The result in float64 for the inputs as the kernel gets them."""
    node = graph.node("conv")
    bias = np.zeros(case.filters) if node.bias is None else node.bias.astype(np.float64)
    y = conv2d(x.double().numpy(), dense_weight(graph, node).astype(np.float64), bias, case.op)
    if residual is not None:
        y = y + residual.double().numpy()
    if case.activation != "none":
        y = ACTIVATION_FUNCTIONS[cases.ACTIVATION_OPS[case.activation]](y)
    return y


def compute(case, graph, form, x, residual, scale=1.0):
    node = graph.node("conv")
    slices = KERNELS.gather_slices(
        torch.from_numpy(dense_weight(graph, node)), groups=case.groups, slice_channels=case.g
    )
    slices.values[: len(slices.values) // 2 + 1] *= scale
    arguments = {
        "stride": case.stride,
        "padding": case.padding,
        "dilation": case.dilation,
        "bias": None if node.bias is None else torch.from_numpy(node.bias),
        "residual": residual,
        "activation": case.activation,
    }
    # Larger blocks than on a GPU: the interpreter's time is that of programs, not of pixels.
    pixels = out_size(case)[0] * out_size(case)[1]
    if form == "gathered":
        config = CONFIGS.GatheredConfig(block_of(pixels, 32, 4096), 4, 1)
        return KERNELS.gathered_conv(x, slices, config=config, **arguments)
    run = UNIONS.run_lengths(case.channels // case.groups, x.element_size())[0]
    config = CONFIGS.UnionConfig(
        block_of(pixels, 16, 1024),
        block_of(case.filters // case.groups, 16, 32),
        block_of(case.channels // case.groups, 16, 64),
        4,
        2,
    )
    blocks = UNIONS.make_blocks(slices.channels_read(), case.groups, config.filters, run)
    weights = KERNELS.union_weights(slices, blocks, config.channels, x.dtype)
    return KERNELS.union_conv(x, slices, weights, config, **arguments)


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
        np.abs(actual.double().numpy() - expected).max() / max(np.abs(expected).max(), 1e-30)
    )


@pytest.mark.parametrize("row", table.ROWS, ids=str)
def test_the_table_of_all_backends(row):
    graph = cases.conv_graph(row.case)
    x, residual = inputs(row.case, graph, getattr(torch, row.dtype))
    actual = compute(row.case, graph, row.form, x, residual)
    expected = expected_of(row.case, graph, x, residual)
    assert actual.dtype == x.dtype
    assert actual.shape == expected.shape
    assert error_of(actual, expected) <= LAYER[row.dtype]


@pytest.mark.parametrize("dtype", table.DTYPES)
@pytest.mark.parametrize("form", table.FORMS)
def test_the_tolerances_can_fail(form, dtype):
    """Half of the weights wrong by four tolerances."""
    case = cases.ConvCase(7, 5, (9, 9), padding=(1, 1))
    graph = cases.conv_graph(case)
    x, residual = inputs(case, graph, getattr(torch, dtype))
    expected = expected_of(case, graph, x, residual)
    actual = compute(case, graph, form, x, residual, scale=1 + 4 * LAYER[dtype])
    assert error_of(actual, expected) > LAYER[dtype]
