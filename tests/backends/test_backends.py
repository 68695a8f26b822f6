"""Devices: networks in Triton's interpreter, CUDA graphs on a stand-in, why there is no device."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from fake_cuda import FakeCuda

import lilnetx
from lilnetx import errors
from lilnetx.packing.synth import synth

HERE = Path(__file__).parent
MISSING = [name for name in ("torch", "triton") if importlib.util.find_spec(name) is None]
needs_triton = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


@needs_triton
def test_sessions_in_the_interpreter(summary_line):
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "sessions.py"],
        cwd=HERE,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    counts = re.search(r"^(\d+) passed(?!.*skipped)", result.stdout, re.MULTILINE)
    assert counts, result.stdout
    summary_line(f"Triton in the interpreter, sessions.py: {counts[1]} passed, none skipped")


def fake_torch(monkeypatch, *, cuda="13.0", hip=None, available=True, capability=(8, 0)):
    """What torch says of a machine."""
    torch = pytest.importorskip("torch", reason="torch is not installed: devices need it")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "GPU of the test")
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)


def extension(monkeypatch, status):
    from lilnetx.backends import device

    monkeypatch.setattr(
        device, "_core", types.SimpleNamespace(cuda_status=lambda: (status, f"it is {status}"))
    )


SMALL = synth("resnet20", density=0.1, input_shape=(1, 8, 8))


@pytest.mark.parametrize(
    ("machine", "error", "message"),
    [
        ({"cuda": None}, errors.BuiltWithoutCudaError, "built without CUDA"),
        ({"available": False}, errors.NoDeviceError, "no GPU can be used"),
        ({"capability": (7, 5)}, errors.UnsupportedArchitectureError, "7.5, the kernels need 8.0"),
        ({"hip": "6.2", "cuda": None}, errors.UnsupportedArchitectureError, "AMD"),
    ],
)
@needs_triton
def test_why_triton_has_no_device(machine, error, message, monkeypatch):
    fake_torch(monkeypatch, **machine)
    with pytest.raises(error, match=message) as caught:
        lilnetx.Session(SMALL, device="triton")
    assert isinstance(caught.value, errors.DeviceError)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("not built", errors.BuiltWithoutCudaError),
        ("no device", errors.NoDeviceError),
        ("unsupported architecture", errors.UnsupportedArchitectureError),
    ],
)
def test_why_cuda_has_no_device(status, error, monkeypatch):
    fake_torch(monkeypatch)
    extension(monkeypatch, status)
    with pytest.raises(error, match=f"device='cuda': it is {status}"):
        lilnetx.Session(SMALL, device="cuda")


def test_a_gpu_that_does_not_answer(monkeypatch):
    from lilnetx.backends import device

    def broken():
        raise RuntimeError("asking for the compute capability: unknown error")

    fake_torch(monkeypatch)
    monkeypatch.setattr(device, "_core", types.SimpleNamespace(cuda_status=broken))
    with pytest.raises(errors.DeviceError, match=r"finding a GPU: asking for .*; look at the GPU"):
        lilnetx.Session(SMALL, device="cuda")


def test_cuda_needs_a_torch_that_has_it(monkeypatch):
    fake_torch(monkeypatch, cuda=None)
    extension(monkeypatch, "ready")
    with pytest.raises(errors.BuiltWithoutCudaError, match="torch"):
        lilnetx.Session(SMALL, device="cuda")


@pytest.mark.parametrize(
    ("package", "error"),
    [("triton", errors.TritonNotInstalledError), ("torch", errors.MissingExtraError)],
)
def test_missing_packages(package, error, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == package else find(name)
    )
    with pytest.raises(error, match=rf"'{package}', which is not installed.*lilnetx\[triton\]"):
        lilnetx.Session(SMALL, device="triton")


def test_this_machine_has_a_device_or_says_why():
    """Whatever this machine is: a session, or one of the four reasons."""
    reasons = (errors.DeviceError, errors.MissingExtraError)
    for device in ("triton", "cuda"):
        try:
            session = lilnetx.Session(SMALL, device=device)
            found = session.plan.device
        except reasons as error:
            found = str(error)
        assert device in found


def test_the_command_line_says_it_in_one_line(monkeypatch, capsys):
    fake_torch(monkeypatch, available=False)
    from lilnetx.cli.bench import main

    assert main(["--device", "triton"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no GPU can be used" in line or MISSING


def test_unknown_devices_and_dtypes():
    with pytest.raises(errors.InputError, match="'cpu', 'cuda', 'triton'"):
        lilnetx.Session(SMALL, device="npu")
    with pytest.raises(errors.InputError, match="float16 on cpu"):
        lilnetx.Session(SMALL, dtype="float16")
    assert lilnetx.Session(SMALL, device="cpu").isa in lilnetx.runtime.available_isas()


def test_graphs_are_recorded_once_a_shape_and_replayed():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from lilnetx.backends.capture import KEPT_GRAPHS, CapturedNetwork

    cuda, calls = FakeCuda(), []

    def run(x, y):
        out = torch.empty_like(x)

        def compute():
            torch.add(x, y, out=out)

        calls.append(x.shape)
        cuda.start(compute)
        return (out,)

    network = CapturedNetwork(run, cuda)
    x = torch.arange(4.0)
    (first,) = network(x, x)
    assert first.tolist() == [0, 2, 4, 6]
    assert len(calls) == 4  # three to warm up, one recorded
    (second,) = network(x + 1, x)
    assert second is first
    assert second.tolist() == [1, 3, 5, 7]
    assert len(calls) == 4
    assert cuda.graphs[0].replayed == 2
    assert x.tolist() == [0, 1, 2, 3]
    for size in range(5, 5 + KEPT_GRAPHS):
        network(torch.zeros(size), torch.zeros(size))
    assert len(cuda.graphs) == 1 + KEPT_GRAPHS
    network(x, x)  # the oldest has gone
    assert len(cuda.graphs) == 2 + KEPT_GRAPHS


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["triton", "cuda"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("batch", [1, 8])
def test_a_network_on_a_gpu(device, dtype, batch):
    from tolerances import LAYER, NETWORK

    if device == "cuda" and not lilnetx._core.cuda_built:
        pytest.skip("this build of lilnetx has no CUDA kernels")
    graph = synth("resnet20", density=0.3, seed=1, input_shape=(3, 32, 32), slice_1x1=4)
    x = np.random.default_rng(0).standard_normal((batch, 3, 32, 32), dtype=np.float32)
    expected = lilnetx.Session(graph).run(x)
    session = lilnetx.Session(graph, device=device, dtype=dtype)
    bound = 2 * NETWORK["float32"] if dtype == "float32" else 5 * LAYER[dtype]
    for _ in range(2):  # recorded, then replayed
        y = session.run(x)
        assert np.abs(y - expected).max() <= bound * np.abs(expected).max()
