"""Import of ONNX models: every operator's export comes back, and forms that only others write."""

from __future__ import annotations

import numpy as np
import pytest
from operator_cases import CASES, case_id, operator_graph

onnx = pytest.importorskip("onnx", reason="imports ONNX models")

from onnx import helper  # noqa: E402

from lilnetx.errors import InputError, UnsupportedOperatorError  # noqa: E402
from lilnetx.graph import ir  # noqa: E402
from lilnetx.graph.from_onnx import from_onnx  # noqa: E402
from lilnetx.graph.to_onnx import to_onnx  # noqa: E402
from lilnetx.reference import run  # noqa: E402


@pytest.mark.parametrize(
    "case", [case for case in CASES if not isinstance(case[0], ir.Constant)], ids=case_id
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_exports_come_back(case):
    graph = operator_graph(*case)
    rng = np.random.default_rng(0)
    x = {name: rng.normal(size=(2, *shape)) for name, shape in graph.inputs.items()}
    again = from_onnx(to_onnx(graph, opset=19))
    assert again.inputs == graph.inputs
    for a, e in zip(run(again, x), run(graph, x), strict=True):
        assert a.shape == e.shape
        finite = np.isfinite(e)
        np.testing.assert_array_equal(a[~finite], e[~finite])
        assert np.abs(a[finite] - e[finite]).max() <= 1e-6 * max(1, np.abs(e[finite]).max())


def model(nodes, *, stored=None, shape=("N", 3, 8, 8), opset=17):
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", 1, shape)],
        [onnx.ValueInfoProto(name=nodes[-1].output[0])],
        [onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in (stored or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def evaluate(proto, x):
    ort = pytest.importorskip("onnxruntime", reason="runs ONNX models")
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


FLOATS = np.random.default_rng(3).normal(size=(4, 3, 3, 3)).astype(np.float32)
FORMS = {
    "shape-arithmetic": model(
        [
            node("Shape", "x", "s"),
            node("Gather", "s i", "n"),
            node("Unsqueeze", "n zero", "n1"),
            node("Concat", "n1 rest", "t", axis=0),
            node("Reshape", "x t", "y"),
        ],
        stored={
            "i": np.int64(0),
            "zero": np.array([0], np.int64),
            "rest": np.array([3, -1], np.int64),
        },
    ),
    "same-upper": model(
        [node("Conv", "x w", "y", auto_pad="SAME_UPPER", strides=[2, 2])], stored={"w": FLOATS}
    ),
    "same-lower": model(
        [node("MaxPool", "x", "y", auto_pad="SAME_LOWER", kernel_shape=[4, 3], strides=[3, 1])]
    ),
    "uneven-pads": model([node("Conv", "x w", "y", pads=[0, 1, 2, 0])], stored={"w": FLOATS}),
    "bias-by-add": model(
        [node("Conv", "x w", "c"), node("Add", "c b", "y")],
        stored={"w": FLOATS, "b": FLOATS[:, :1, :1, 0].reshape(1, 4, 1, 1)},
    ),
    "batch-norm-unfolded": model(
        [node("Relu", "x", "r"), node("BatchNormalization", "r s b m v", "y")],
        stored={name: np.abs(FLOATS[:3, i, 0, 0]) + 0.1 for i, name in enumerate("sbm")}
        | {"v": np.array([0.5, 1, 2], np.float32)},
    ),
    "split-and-join": model(
        [
            helper.make_node("Split", ["x", "sizes"], ["a", "b"], axis=2),
            node("Concat", "b a", "y", axis=2),
        ],
        stored={"sizes": np.array([3, 5], np.int64)},
    ),
    "gather-channels": model(
        [node("Gather", "x i", "y", axis=1)], stored={"i": np.array([2, 0, 1], np.int64)}
    ),
    "negative-steps": model(
        [node("Slice", "x a b c d", "y")],
        stored={
            "a": np.array([-1, 7], np.int64),
            "b": np.array([-100, 2], np.int64),
            "c": np.array([2, 3], np.int64),
            "d": np.array([-2, -1], np.int64),
        },
    ),
    "gelu-erf": model(
        [
            node("Div", "x root", "d"),
            node("Erf", "d", "e"),
            node("Add", "e one", "p"),
            node("Mul", "x p", "m"),
            node("Mul", "m half", "y"),
        ],
        stored={"root": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)},
    ),
    "matmul-and-bias": model(
        [node("MatMul", "x w", "m"), node("Add", "b m", "y")],
        stored={"w": FLOATS[:, :2, :1, 0].reshape(8, 1), "b": np.float32([0.5])},
    ),
    "hard-sigmoid": model([node("HardSigmoid", "x", "y", alpha=0.3, beta=0.4)]),
    "reciprocal": model([node("Div", "one x", "y")], stored={"one": np.float32(1)}),
    "dropout": model([node("Dropout", "x", "d"), node("Relu", "d", "y")]),
    "fixed-batch": model([node("Flatten", "x", "y")], shape=(1, 3, 8, 8)),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_other_exporters(name):
    proto = FORMS[name]
    graph = from_onnx(proto)
    batch = 1 if name == "fixed-batch" else 2
    x = np.random.default_rng(5).normal(size=(batch, 3, 8, 8)).astype(np.float32)
    expected = evaluate(proto, x)
    actual = run(graph, x)[0]
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= 1e-5 * np.abs(expected).max()


def test_scales_and_shifts_join_the_convolution_before_them():
    graph = from_onnx(FORMS["bias-by-add"])
    assert [type(n.op).__name__ for n in graph.nodes] == ["Conv2d"]
    np.testing.assert_allclose(graph.nodes[0].bias, FLOATS[:, 0, 0, 0])


def test_sizes():
    flat = model(
        [node("Flatten", "x", "f"), node("Gemm", "f w", "y")],
        stored={"w": np.zeros((192, 5), np.float32)},
        shape=("N", 3, "H", "W"),
    )
    with pytest.raises(UnsupportedOperatorError, match=r"takes \(..., 192\)"):
        from_onnx(flat)
    graph = from_onnx(flat, input_shapes={"x": (3, 8, 8)})
    assert not graph.free_size
    pooled = model([node("GlobalMaxPool", "x", "y")], shape=("N", 3, "H", "W"))
    assert from_onnx(pooled).free_size
    assert from_onnx(pooled).input_shape == (3, 224, 224)
    with pytest.raises(InputError, match="there is no input 'image'"):
        from_onnx(pooled, input_shapes={"image": (3, 8, 8)})


def test_a_batch_that_is_mixed():
    wrong = model([node("Reshape", "x t", "y")], stored={"t": np.array([2, -1], np.int64)})
    with pytest.raises(UnsupportedOperatorError, match=r"the batch|number of images"):
        from_onnx(wrong)
