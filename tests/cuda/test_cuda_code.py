"""What nvcc made of the kernels, by the disassembly of the built extension."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from lilnetx import _core

sys.path.append(str(Path(__file__).parents[1] / "kernels"))

import kernels_under_test

kernels_under_test.load()
cuda_code = importlib.import_module("lilnetx.kernels.cuda_code")
control_flow = importlib.import_module("lilnetx.kernels.control_flow")
read_sass = importlib.import_module("lilnetx.kernels.disassembly").read_sass

MISSING = [tool for tool in ("cuobjdump", "nvdisasm") if cuda_code.find_tool(tool) is None]
needs_code = pytest.mark.skipif(
    not _core.cuda_built or bool(MISSING),
    reason="the extension was built without CUDA"
    if not _core.cuda_built
    else f"no {', '.join(MISSING)}: install triton, which brings them",
)
TYPES_A = ("f32", "f16", "bf16")
TYPES_B = ("tf32x3", "tf32", "f16", "bf16")


@pytest.fixture(scope="module")
def kernels() -> list[tuple[str, str, Any, dict[str, int]]]:
    return cuda_code.read_kernels(_core.__file__)


def loop_code(flow: Any, form: str, *, outer: bool) -> Any:
    """Counts of the loop's instructions."""
    loop = cuda_code.loops_that_multiply(flow, form, outer=outer)
    return read_sass("\n".join(flow.instructions(loop)))


@needs_code
def test_every_kernel_is_there_for_both_architectures(kernels) -> None:
    names = {
        *(f"lnx_{t}_gconv3x3s1_4x{4 if t == 'f32' else 8}__cuda" for t in TYPES_A),
        *(f"lnx_{t}_gconv1x1s1_1x{8 if t == 'f32' else 16}__cuda" for t in TYPES_A),
        *(f"lnx_{t}_gconv_1x4__cuda" for t in TYPES_A),
        *(f"lnx_{t}_uconv_32x{pixels}__cuda" for t in TYPES_B for pixels in (64, 128)),
        *(f"lnx_{t}_arrange__cuda" for t in TYPES_B),
        "lnx_decode__cuda",
    }
    for arch in ("sm_80", "sm_90"):
        assert {name for a, name, _, _ in kernels if a == arch} == names


@needs_code
def test_nothing_is_spilled_and_no_local_memory_used(kernels) -> None:
    for arch, name, flow, resources in kernels:
        assert resources["STACK"] == resources["LOCAL"] == 0, (arch, name)
        assert read_sass("\n".join(flow.instructions())).spill_bytes == 0, (arch, name)


@needs_code
def test_tensor_cores_multiply_in_form_b_alone(kernels) -> None:
    """Of 32 filters by 8 pixels a run: two instructions a step, three times as many for TF32x3."""
    for arch, name, flow, _ in kernels:
        if "_uconv_" not in name:
            assert read_sass("\n".join(flow.instructions())).mma == 0, (arch, name)
            continue
        code = loop_code(flow, "b", outer=False)
        runs = 4 if "x128" in name else 2
        steps, products = (2, 3 if "tf32x3" in name else 1) if "tf32" in name else (1, 1)
        assert code.mma == 2 * runs * steps * products, (arch, name)


@needs_code
def test_main_loops_load_16_bytes_at_a_time(kernels) -> None:
    for arch, name, flow, _ in kernels:
        if "_uconv_" in name:
            outer = cuda_code.loops_that_multiply(flow, "b", outer=True)
            code = "\n".join(flow.instructions(outer))
            assert "LDGSTS.E.BYPASS.128" in code, (arch, name)
            inner = cuda_code.loops_that_multiply(flow, "b", outer=False)
            # Weights from shared memory; inputs too, at any column, so that they are smaller.
            assert "LDS.128" in "\n".join(flow.instructions(inner)), (arch, name)
        elif "_gconv_1x4" in name:  # any window: its weights, while inputs are read pixel by pixel
            assert loop_code(flow, "a", outer=True).loads["16"] > 0, (arch, name)
        elif "_gconv" in name:
            inputs = loop_code(flow, "a", outer=False).loads["16"]
            assert inputs == (6 if "3x3" in name else 2), (arch, name)


@needs_code
def test_rows_of_facts(kernels, monkeypatch) -> None:
    monkeypatch.setattr(cuda_code, "read_kernels", lambda library: kernels)
    rows = cuda_code.rows(_core.__file__)
    assert {(row["arch"], row["form"]) for row in rows} == {
        (arch, form) for arch in ("sm_80", "sm_90") for form in "ab"
    }
    for row in rows:
        assert 32 <= row["registers"] <= 128
        assert row["spill_bytes"] == row["local_bytes"] == 0
        assert (row["mma"] > 0) == (row["form"] == "b")
        assert 4096 <= row["shared_bytes"] <= 64 << 10


GRAPH = r"""
subgraph "cluster_f" {
"f"
[label="{<entry>f:\l\ \ MOV\ R1,\ R2\ ;\l}"]
"f":exit0:s -> "outer":entry:n [style=solid];
"outer"
[label="{<entry>\ \ LDG.E.128\ R4,\ \[R2.64\]\ ;\l|<exit0>\ \ @P0\ BRA\ x\ ;\l}"]
"outer":exit0:s -> "inner":entry:n [style=solid];
"outer":exit0:e -> "aside":entry:n [style=solid];
"inner"
[label="{<entry>\ \ FFMA\ R1,\ R2,\ R3,\ R4\ ;\l}"]
"inner":exit0:s -> "inner":entry:n [style=solid];
"inner":exit0:e -> "outer":entry:n [style=solid];
"inner":exit0:e -> "end":entry:n [style=solid];
"end"
[label="{<entry>\ \ EXIT\ ;\l}"]
"aside"
[label="{<entry>\ \ BRA\ inner\ ;\l}"]
"aside":exit0:s -> "inner":entry:n [style=solid];
}
"""


def test_loops_of_a_flow_graph() -> None:
    """What jumps back from behind the code is no loop."""
    flow = control_flow.read_flow(GRAPH)["f"]
    assert flow.blocks["outer"] == ["LDG.E.128 R4, [R2.64] ;", "@P0 BRA x ;"]
    assert sorted(map(sorted, flow.loops)) == [["aside", "inner", "outer"], ["inner"]]
    assert cuda_code.loops_that_multiply(flow, "a", outer=False) == {"inner"}
    assert cuda_code.loops_that_multiply(flow, "a", outer=True) == {"aside", "inner", "outer"}
    assert cuda_code.loops_that_multiply(flow, "b", outer=True) == set()
