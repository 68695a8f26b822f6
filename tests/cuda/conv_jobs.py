"""Cases of the common table as jobs of the emulator, and what they must give."""

from __future__ import annotations

import dataclasses
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from cases import ACTIVATION_OPS, ConvCase, conv_graph
from emulated import Jobs, Result

from lilnetx.graph.ir import Graph, Node
from lilnetx.reference import run
from lilnetx.reference.ops import run_node
from lilnetx.runtime.packed import pack_weight, unpack_slices


@dataclass(frozen=True)
class Variant:
    """A form of the kernels, and how it multiplies: the key of its tolerance."""

    form: str
    precision: str

    @property
    def dtype(self) -> str:
        """Of input, residual and output."""
        return "float32" if self.precision == "tf32" else self.precision

    def __str__(self) -> str:
        return f"{self.form}-{self.precision}"


MATHS = ("float32", "tf32", "float16", "bfloat16")  # in the order of CudaMath
VARIANTS = [
    *(Variant("lists", precision) for precision in ("float32", "float16", "bfloat16")),
    *(Variant("blocks", precision) for precision in MATHS),
]


def to_storage(values: np.ndarray, dtype: str) -> np.ndarray:
    """Rounds to the nearest, ties to even: float32 or float16; bfloat16 as uint16."""
    if dtype != "bfloat16":
        return values.astype(dtype)
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_storage(values: np.ndarray, dtype: str) -> np.ndarray:
    """The same values as float64."""
    if dtype != "bfloat16":
        return values.astype(np.float64)
    return (values.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


@dataclass(frozen=True)
class Problem:
    """A case with its data of one dtype.

    Attributes:
        node: The convolution, float32 weights and bias.
        graph: The case's network.
        x: Storage type, ``(N, C, H, W)``.
        residual: Storage type, as the output; or None.
        expected: float64, from x and residual as stored, not rounded to the dtype.
    """

    case: ConvCase
    node: Node
    graph: Graph
    x: np.ndarray
    residual: np.ndarray | None
    expected: np.ndarray


def images_of(case: ConvCase) -> int:
    """Two images where that is cheap, so that some tile or team has pixels of both."""
    return 2 if case.channels * case.filters * case.size[0] * case.size[1] < 1 << 18 else 1


@lru_cache(maxsize=8)
def make_problem(case: ConvCase, dtype: str) -> Problem:
    graph = conv_graph(case)
    node = graph.node("conv")
    rng = np.random.default_rng(zlib.crc32(str(case).encode()) + 1)
    x = to_storage(rng.standard_normal((images_of(case), *graph.input_shape)), dtype)
    exact = from_storage(x, dtype)
    expected = run(dataclasses.replace(graph, outputs=("conv",)), exact)[0]
    residual = None
    if case.residual:
        residual = to_storage(rng.standard_normal(expected.shape), dtype)
        expected = expected + from_storage(residual, dtype)
    if case.activation != "none":
        op = ACTIVATION_OPS[case.activation]()  # type: ignore[call-arg]  # They have no fields.
        expected = run_node(graph, Node("y", op, ("x",)), [expected])
    return Problem(case, node, graph, x, residual, expected)


def with_gap(images: np.ndarray, gap: int) -> tuple[np.ndarray, list[int]]:
    """Rows with so many elements of NaN behind each; and the strides in elements."""
    wide = np.full((*images.shape[:3], images.shape[3] + gap), 0xFFFF, np.uint16)
    wide = np.broadcast_to(np.array(-1, f"i{images.itemsize}"), wide.shape).copy()
    wide[..., : images.shape[3]] = images.view(wide.dtype)
    return wide, [s // wide.itemsize for s in wide.strides[:3]]


def add_job(
    jobs: Jobs,
    problem: Problem,
    variant: Variant,
    *,
    tile_runs: int = 0,
    gap: int = 0,
    order: int = 0,
    late_copies: bool = True,
    activation: str | None = None,
    numbers: dict[int, int] | None = None,
) -> None:
    """Adds a case; ``activation`` and some of the job's ``numbers``, by place, may be others."""
    case = problem.case
    packed = unpack_slices(pack_weight(problem.graph, problem.node), problem.node.scale)
    x, in_strides = with_gap(problem.x, gap)
    like = np.zeros(problem.expected.shape, x.dtype)
    out, out_strides = with_gap(like, gap)
    residual = b""
    if problem.residual is not None:
        residual = with_gap(problem.residual, gap)[0].tobytes()
    images = problem.x.shape[0]
    sizes = [images, case.channels, *case.size, case.filters, case.groups]
    sizes += [*case.kernel, *case.stride, *case.padding, *case.dilation]
    sizes += [packed.shape.channels_per_slice, *in_strides, *out_strides, out.nbytes]
    for place, value in (numbers or {}).items():
        sizes[place] = value
    bias = problem.node.bias
    jobs.add(
        "conv",
        variant.form,
        MATHS.index(variant.precision),
        tile_runs,
        sizes,
        activation or case.activation,
        packed.filter_ptr,
        packed.channel,
        packed.values.ravel(),
        np.zeros(0, np.float32) if bias is None else bias,
        x.tobytes(),
        residual,
        order=order,
        late_copies=late_copies,
    )


def relative_error(problem: Problem, variant: Variant, result: Result, gap: int = 0) -> float:
    """Largest absolute error over largest absolute reference.

    Raises:
        AssertionError: The kernel failed, an output is not finite, or a gap was written.
    """
    shape = problem.expected.shape
    stored = result.values(problem.x.dtype).reshape(*shape[:3], shape[3] + gap)
    assert (stored[..., shape[3] :].view(f"i{stored.itemsize}") == -1).all()
    actual = from_storage(stored[..., : shape[3]], variant.dtype)
    assert np.isfinite(actual).all()
    bound = max(float(np.abs(problem.expected).max()), 1e-3)
    return float(np.abs(actual - problem.expected).max()) / bound
