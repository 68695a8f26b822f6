"""Why the CUDA kernels cannot run: each reason has its own answer."""

from __future__ import annotations

import pytest
from emulated import Jobs

from lilnetx import _core

NAMES = [
    "ready",
    "not built",
    "no device",
    "unsupported architecture",
]  # in the order of CudaStatus
DRIVER_TOO_OLD = 35


@pytest.mark.parametrize(
    ("devices", "error", "capability", "device", "name", "detail"),
    [
        (1, 0, (8, 0), 0, "ready", "compute capability 8.0"),
        (2, 0, (9, 0), 1, "ready", "GPU 1, compute capability 9.0"),
        (0, DRIVER_TOO_OLD, (8, 0), 0, "no device", "driver too old"),
        (0, 0, (8, 0), 0, "no device", "none was found"),
        (1, 0, (8, 0), 1, "no device", "no GPU 1, only 1"),
        (1, 0, (8, 0), -1, "no device", "no GPU -1"),
        (1, 0, (7, 5), 0, "unsupported architecture", "7.5, and the CUDA kernels need 8.0"),
    ],
)
def test_status(devices, error, capability, device, name, detail) -> None:
    jobs = Jobs()
    jobs.add("status", [devices, error, *capability, device])
    (result,) = jobs.run()
    assert not result.error
    number, text = result.output.decode().split(" ", 1)
    assert NAMES[int(number)] == name
    assert detail in text


def test_status_of_this_build() -> None:
    name, detail = _core.cuda_status()
    assert name in NAMES
    assert detail
    assert (name == "not built") == (not _core.cuda_built)


@pytest.mark.skipif(_core.cuda_built, reason="this build has CUDA kernels")
def test_kernels_of_a_build_without_cuda_say_so() -> None:
    with pytest.raises(RuntimeError, match="has no CUDA kernels"):
        _core.cuda_decode(
            filters=1, length=1, filter_ptr=0, latents=0, matrix=0, exponent=0, scale=0, values=0,
            stream=0,
        )  # fmt: skip
