"""``lilnetx pack``: options that would have no effect, the input's normalisation, JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

import lilnetx
from lilnetx.cli.main import main
from lilnetx.data import load, normalise

onnx = pytest.importorskip("onnx", reason="packs ONNX models")


def save_linear(path, *shapes, seed=0):
    """Saves a classifier of ten classes: the sum of a linear layer for each input."""
    rng = np.random.default_rng(seed)
    helper = onnx.helper
    nodes, inputs, stored, terms = [], [], {}, []
    for index, shape in enumerate(shapes):
        x = f"x{index}"
        inputs.append(helper.make_tensor_value_info(x, 1, ("N", *shape)))
        stored[f"w{x}"] = rng.normal(size=(10, int(np.prod(shape))))
        nodes.append(helper.make_node("Flatten", [x], [f"f{x}"]))
        nodes.append(helper.make_node("Gemm", [f"f{x}", f"w{x}"], [f"y{x}"], transB=1))
        terms.append(f"y{x}")
    nodes.append(helper.make_node("Sum", terms, ["y"]))
    arrays = [onnx.numpy_helper.from_array(a.astype(np.float32), n) for n, a in stored.items()]
    graph = helper.make_graph(nodes, "test", inputs, [onnx.ValueInfoProto(name="y")], arrays)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_linear(tmp_path_factory.mktemp("onnx") / "model.onnx", (1, 28, 28))


def run(capsys, *args, code=0):
    assert main([str(arg) for arg in args]) == code
    out = capsys.readouterr()
    if code:
        assert out.err.startswith("lilnetx: error: ")
        assert out.err.count("\n") == 1
    return out.out, out.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trim", "0.01"], "--trim is for checkpoints"),
        (["--trim-images", "50"], "--trim-images is for checkpoints"),
        (["--data-root", "."], "--data-root is for checkpoints"),
        (["--side-bits", "6"], "--side-bits is for checkpoints"),
        (["--resize", "32"], "--resize is for compression by --calibration DIR"),
        (["--calibration-images", "9"], "--calibration-images is for compression"),
        (["--slice-1x1", "1"], "--slice-1x1 is for compression"),
        (["--seed", "0"], "--seed is for compression"),
        (["--scale", "1"], "--scale needs --mean and --std"),
        (["--mean", "0.5"], "--mean and --std belong together"),
        (["--std", "0.5"], "--mean and --std belong together"),
        (["--mean", "0,0", "--std", "1"], "--mean 0,0: 2 values for 1 channels"),
        (
            ["--max-drop", "1", "--calibration", ".", "--resize", "32"],
            "--resize needs --mean and --std",
        ),
        (["--max-drop", "1", "--calibration", ".", "--side-bits", "0"], "--side-bits is for"),
    ],
)
def test_options_without_effect_on_a_model_of_others(model, tmp_path, capsys, options, message):
    _, err = run(capsys, "pack", model, "-o", tmp_path / "m.lnx", *options, code=2)
    assert message in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--input-shape", "1x28x28"], "--input-shape is for ONNX models"),
        (["--mean", "0"], "--mean is for ONNX models and exported programs, not for checkpoints"),
        (["--std", "1"], "--std is for ONNX models"),
        (["--scale", "1"], "--scale is for ONNX models"),
        (["--resize", "32"], "--resize is for ONNX models"),
        (["--calibration-images", "9"], "--calibration-images is for ONNX models"),
        (["--slice-1x1", "4"], "--slice-1x1 is for ONNX models"),
        (["--seed", "0"], "--seed is for ONNX models"),
        (["--trim-images", "50"], "--trim-images is for --trim D"),
        (["--data-root", "."], "--data-root is for --trim D"),
    ],
)
def test_options_without_effect_on_a_checkpoint(tmp_path, capsys, options, message):
    (tmp_path / "run.pt").touch()
    _, err = run(capsys, "pack", tmp_path / "run.pt", "-o", tmp_path / "m.lnx", *options, code=2)
    assert message in err


def test_eval_finds_the_normalisation(model, tiny_fashion_mnist, tmp_path, capsys):
    path = tmp_path / "m.lnx"
    run(capsys, "pack", model, "-o", path, "--mean", "0.25", "--std", "0.5")
    session = lilnetx.Session(path, threads=1)
    assert session.graph.meta["input"] == {"mean": [0.25], "std": [0.5]}
    out, _ = run(
        capsys, "eval", path, "--data", "fashion-mnist", "--data-root", tiny_fashion_mnist, "--json"
    )
    data = load("fashion-mnist", tiny_fashion_mnist)
    answers = session.run(normalise(data.test_images, (0.25,), (0.5,))).argmax(1)
    assert json.loads(out)["correct"] == int((answers == data.test_labels).sum())


def test_the_normalisation_of_whole_pixels_is_stored_as_that_of_scaled_ones(tmp_path, capsys):
    model = save_linear(tmp_path / "colours.onnx", (3, 4, 4))
    scale = ("--mean", "51", "--std", "51,102,25.5", "--scale", "1")
    run(capsys, "pack", model, "-o", tmp_path / "m.lnx", *scale)
    stored = lilnetx.Session(tmp_path / "m.lnx", threads=1).graph.meta["input"]
    np.testing.assert_allclose(stored["mean"], [0.2, 0.2, 0.2])
    np.testing.assert_allclose(stored["std"], [0.2, 0.4, 0.1])


@pytest.mark.parametrize("shapes", [[(6,)], [(1, 4, 4), (1, 4, 4)]])
def test_only_pictures_have_a_normalisation(shapes, tmp_path, capsys):
    model = save_linear(tmp_path / "model.onnx", *shapes)
    options = ("--mean", "0.5", "--std", "0.5")
    _, err = run(capsys, "pack", model, "-o", tmp_path / "m.lnx", *options, code=2)
    assert "--mean and --std are of pictures" in err


def test_eval_names_the_options_that_are_missing(model, tiny_fashion_mnist, tmp_path, capsys):
    path = tmp_path / "m.lnx"
    run(capsys, "pack", model, "-o", path)
    data = ("--data", "fashion-mnist", "--data-root", tiny_fashion_mnist)
    _, err = run(capsys, "eval", path, *data, code=2)
    assert "pack it with --mean M[,M,M] --std S[,S,S]" in err


def test_figures_as_json_of_a_model_as_it_is(model, tmp_path, capsys):
    path = tmp_path / "m.lnx"
    out, _ = run(capsys, "pack", model, "-o", path, "--json")
    facts = json.loads(out)
    assert facts.pop("note").startswith("float32 weights as they were")
    assert facts == {"file_bytes": path.stat().st_size, "dense_fp32_bytes": 4 * 7840}
