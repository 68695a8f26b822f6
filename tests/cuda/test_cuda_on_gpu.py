"""The common table of convolutions by the CUDA kernels on a GPU, and weights decoded there."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
from cases import CASES
from conv_jobs import MATHS, VARIANTS, Problem, Variant, make_problem, relative_error
from emulated import Result
from tolerances import LAYER

from lilnetx import _core
from lilnetx.runtime.packed import pack_weight

STATUS, DETAIL = _core.cuda_status()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(STATUS != "ready", reason=DETAIL),
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed"),
]


def upload(array: np.ndarray) -> Any:
    """The array's bytes on the device; never of size 0."""
    import torch

    data = np.ascontiguousarray(array).view(np.uint8).ravel()
    padded = np.zeros(max(16, -(-data.size // 16) * 16), np.uint8)
    padded[: data.size] = data
    return torch.from_numpy(padded).cuda()


class DeviceWeight:
    """A layer's slices on the device, decoded there from the file's integers."""

    def __init__(self, problem: Problem) -> None:
        import torch

        packed = pack_weight(problem.graph, problem.node)
        self.shape = packed.shape
        self.filter_ptr, self.channel, self.expected = packed.unpack(problem.node.scale)
        latents, matrix, exponent = packed.integers()
        self.pointers = {"filter_ptr": upload(self.filter_ptr), "channel": upload(self.channel)}
        self.order = upload(_core.longest_first(self.filter_ptr))
        self.values = torch.zeros(max(16, self.expected.size + 3), dtype=torch.float32).cuda()
        device = [upload(latents), upload(matrix), upload(problem.node.scale)]
        _core.cuda_decode(
            filters=self.shape[0],
            length=self.shape[2],
            filter_ptr=self.pointers["filter_ptr"].data_ptr(),
            latents=device[0].data_ptr(),
            matrix=device[1].data_ptr(),
            exponent=exponent,
            scale=device[2].data_ptr(),
            values=self.values.data_ptr(),
            stream=0,
        )
        torch.cuda.synchronize()

    def addresses(self) -> dict[str, int]:
        return {name: tensor.data_ptr() for name, tensor in self.pointers.items()} | {
            "values": self.values.data_ptr()
        }


def strides(array: np.ndarray) -> tuple[int, int, int]:
    return tuple(s // array.itemsize for s in array.strides[:3])  # type: ignore[return-value]


def run(problem: Problem, variant: Variant, tile_runs: int) -> Result:
    import torch

    case, weight = problem.case, DeviceWeight(problem)
    x = upload(problem.x)
    like = np.zeros(problem.expected.shape, problem.x.dtype)
    out = upload(like)
    residual = None if problem.residual is None else upload(problem.residual)
    bias = None if problem.node.bias is None else upload(problem.node.bias)
    conv = _core.CudaConv(
        dtype=variant.dtype,
        input_shape=problem.x.shape,
        filters=case.filters,
        groups=case.groups,
        window=(*case.kernel, *case.stride, *case.padding, *case.dilation),
        input=x.data_ptr(),
        input_strides=strides(problem.x),
        output=out.data_ptr(),
        output_strides=strides(like),
        residual=0 if residual is None else residual.data_ptr(),
        bias=0 if bias is None else bias.data_ptr(),
        activation=case.activation,
        stream=0,
    )
    slice_channels = weight.shape[3]
    if variant.form == "lists":
        _core.cuda_conv_lists(
            conv,
            slices=len(weight.channel),
            slice_channels=slice_channels,
            order=weight.order.data_ptr(),
            **weight.addresses(),
        )
    else:
        blocks = _core.filter_blocks(weight.shape, weight.filter_ptr, weight.channel)
        order, position, block_ptr, channel, slot = map(upload, blocks)
        taps = case.kernel[0] * case.kernel[1]
        size = _core.cuda_fragment_bytes(variant.precision, len(blocks[3]), taps)
        fragments = torch.zeros(max(16, size), dtype=torch.uint8).cuda()
        _core.cuda_arrange(
            precision=variant.precision,
            filters=case.filters,
            channels=case.channels,
            groups=case.groups,
            taps=taps,
            slice_channels=slice_channels,
            position=position.data_ptr(),
            slot=slot.data_ptr(),
            block_ptr=block_ptr.data_ptr(),
            fragments=fragments.data_ptr(),
            stream=0,
            **weight.addresses(),
        )
        _core.cuda_conv_blocks(
            conv,
            precision=variant.precision,
            tile_runs=tile_runs,
            blocks=len(blocks[2]) - 1,
            order=order.data_ptr(),
            block_ptr=block_ptr.data_ptr(),
            channel=channel.data_ptr(),
            fragments=fragments.data_ptr(),
        )
    torch.cuda.synchronize()
    return Result("", out.cpu().numpy().tobytes()[: like.nbytes])


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_table_on_a_gpu(variant: Variant) -> None:
    wrong = {}
    for index, case in enumerate(CASES):
        problem = make_problem(case, variant.dtype)
        error = relative_error(problem, variant, run(problem, variant, (0, 8, 16)[index % 3]))
        if not error < LAYER[variant.precision]:
            wrong[str(case)] = error
    assert not wrong


def test_weights_decoded_on_a_gpu_are_equal_bit_for_bit() -> None:
    for case in CASES[::7]:
        weight = DeviceWeight(make_problem(case, MATHS[0]))
        decoded = weight.values.cpu().numpy()[: weight.expected.size]
        expected = weight.expected.ravel()
        np.testing.assert_array_equal(decoded.view(np.uint32), expected.view(np.uint32))
