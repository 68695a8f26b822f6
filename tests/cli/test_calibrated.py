"""``lilnetx pack`` with calibration images: folders of arrays and pictures, figures, wrong use."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import lilnetx
from lilnetx.cli.main import main
from lilnetx.errors import CalibrationError, MissingExtraError
from lilnetx.packing.calibrate.images import Preprocessing, load_folder

onnx = pytest.importorskip("onnx", reason="reads ONNX models")
pytest.importorskip("torch", reason="calibrates with torch")

SHAPE = (3, 12, 12)
IMAGES = np.random.default_rng(0).normal(size=(40, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    rng = np.random.default_rng(1)
    stored = {
        "w": rng.normal(size=(16, 3, 3, 3)) / 5,
        "b": rng.normal(size=16),
        "v": rng.normal(size=(10, 16)) / 4,
        "c": rng.normal(size=10),
    }
    helper = onnx.helper
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["h"]),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("GlobalAveragePool", ["r"], ["p"]),
            helper.make_node("Flatten", ["p"], ["f"]),
            helper.make_node("Gemm", ["f", "v", "c"], ["y"], transB=1),
        ],
        "test",
        [helper.make_tensor_value_info("x", 1, ("N", *SHAPE))],
        [onnx.ValueInfoProto(name="y")],
        [onnx.numpy_helper.from_array(a.astype(np.float32), n) for n, a in stored.items()],
    )
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.fixture
def arrays(tmp_path):
    folder = tmp_path / "arrays"
    (folder / "more").mkdir(parents=True)
    np.save(folder / "several.npy", IMAGES[:30])
    for index, image in enumerate(IMAGES[30:]):
        np.save(folder / "more" / f"{index}.npy", image)
    return folder


@pytest.fixture
def pictures(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="writes pictures")
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(2)
    for index in range(10):
        pixels = rng.integers(0, 256, (20 + index, 30, 3), np.uint8)
        image.fromarray(pixels).save(folder / f"{index}.{('png', 'jpg')[index % 2]}")
    return folder


def run(capsys, *args, code=0):
    assert main([str(arg) for arg in args]) == code
    out = capsys.readouterr()
    assert "Traceback" not in out.err
    return out.out, out.err


def test_a_size(model, arrays, tmp_path, capsys):
    path = tmp_path / "m.lnx"
    out, _ = run(capsys, "pack", model, "-o", path, "--target-bytes", 1000, "--calibration", arrays)
    assert 950 <= path.stat().st_size <= 1000
    assert out.splitlines()[0].split()[0] == "layer"
    assert "integers by 20 images; what follows is of 20 others" in out
    assert "the same most likely class for" in out
    assert f"{path}: {path.stat().st_size} bytes" in out
    dense = tmp_path / "dense.lnx"
    run(capsys, "pack", model, "-o", dense)
    before, after = (lilnetx.Session(p, threads=1).run(IMAGES) for p in (dense, path))
    assert np.linalg.norm(after - before) < 0.1 * np.linalg.norm(before)


def test_figures_as_json(model, arrays, tmp_path, capsys):
    path = tmp_path / "m.lnx"
    args = ("--max-drop", 10, "--calibration", arrays, "--json")
    out, _ = run(capsys, "pack", model, "-o", path, *args)
    facts = json.loads(out)
    assert facts["file_bytes"] == path.stat().st_size
    assert facts["dense_fp32_bytes"] == 4 * (16 * 27 + 16 + 160 + 10)
    assert facts["held_out"]["agreement"] >= 0.9
    assert facts["held_out"]["images"] == facts["calibration_images"] == 20
    assert [layer["op"] for layer in facts["layers"]] == ["Conv2d", "Linear"]


def test_pictures_and_what_the_file_says_of_them(model, pictures, tmp_path, capsys):
    path = tmp_path / "m.lnx"
    args = ("--target-bytes", 1000, "--calibration", pictures, "--mean", "0.5", "--std", ".2,.2,.3")
    run(capsys, "pack", model, "-o", path, *args)
    meta = lilnetx.Session(path, threads=1).graph.meta
    assert meta["input"] == {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.3]}
    assert meta["source"] == "model.onnx"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--target-bytes", "9000"], "--target-bytes needs --calibration DIR"),
        (["--max-drop", "1"], "--max-drop needs --calibration DIR"),
        (["--calibration", "."], "needs --target-bytes N or --max-drop P"),
        (["--target-bytes", "9000", "--calibration", "none"], "none: no such folder"),
        (
            ["--target-bytes", "9000", "--calibration", "ARRAYS", "--mean", "0"],
            "--mean and --std belong together",
        ),
        (
            ["--target-bytes", "9000", "--calibration", "ARRAYS", "--mean", "0", "--std", "0"],
            "must be above 0",
        ),
        (
            ["--target-bytes", "9000", "--calibration", "ARRAYS", "--mean", "a", "--std", "1"],
            "--mean a: expected numbers",
        ),
        (
            ["--target-bytes", "9000", "--calibration", "ARRAYS", "--mean", "0", "--std", "nan"],
            "--std nan: expected numbers",
        ),
        (
            ["--max-drop", "5", "--calibration", "ARRAYS", "--mean", "72.9", "--std", "90"],
            "means and deviations of pixels from 0 to 255 need --scale 1",
        ),
        (
            ["--max-drop", "5", "--calibration", "ARRAYS", "--mean", "0.4,-1.2", "--std", "0.2"],
            "pixels are multiplied by 0.00392 before",
        ),
        (["--target-bytes", "100", "--calibration", "ARRAYS"], "no file of 100 bytes can be made"),
    ],
)
def test_wrong_use(model, arrays, tmp_path, capsys, args, message):
    args = [str(arrays) if arg == "ARRAYS" else arg for arg in args]
    _, err = run(capsys, "pack", model, "-o", tmp_path / "m.lnx", *args, code=2)
    assert message in err
    assert not (tmp_path / "m.lnx").exists()


def test_means_of_whole_pixels_with_their_scale(model, pictures, tmp_path, capsys):
    args = ("--target-bytes", 1000, "--calibration", pictures, "--scale", 1)
    run(capsys, "pack", model, "-o", tmp_path / "m.lnx", *args, "--mean", "72.9", "--std", "90")


def test_one_class_for_all_images_is_said_in_a_line(model, tmp_path, capsys):
    # Faint images beside biases: the network's answer is always the same.
    np.save(tmp_path / "a.npy", 1e-3 * IMAGES)
    args = ("--target-bytes", 1000, "--calibration", tmp_path, "--json")
    out, err = run(capsys, "pack", model, "-o", tmp_path / "m.lnx", *args)
    assert err.startswith("lilnetx: warning: the original network gives one class to 100.0 %")
    assert err.count("\n") == 1
    assert json.loads(out)["held_out"]["commonest"] == 1.0


def test_images_that_are_all_the_same_are_refused(model, tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.repeat(IMAGES[:1], 40, axis=0))
    args = ("--target-bytes", 1000, "--calibration", tmp_path)
    _, err = run(capsys, "pack", model, "-o", tmp_path / "m.lnx", *args, code=2)
    assert "hardly differ from each other" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "m.lnx").exists()


def test_both_targets_are_refused(model, arrays, tmp_path, capsys):
    args = ["--target-bytes", "9000", "--max-drop", "1", "--calibration", str(arrays)]
    with pytest.raises(SystemExit):
        main(["pack", str(model), "-o", str(tmp_path / "m.lnx"), *args])
    assert "not allowed with" in capsys.readouterr().err


def test_a_checkpoint_is_referred_to_trimming(tmp_path, capsys):
    (tmp_path / "run.pt").touch()
    args = ("--target-bytes", 9000, "--calibration", tmp_path)
    _, err = run(capsys, "pack", tmp_path / "run.pt", "-o", tmp_path / "m.lnx", *args, code=2)
    assert "--trim makes it smaller" in err


def test_torch_is_named_where_it_is_missing(model, arrays, tmp_path):
    path = tmp_path / "m.lnx"
    argv = ["pack", model, "-o", path, "--max-drop", "5", "--calibration", arrays]
    code = (
        "import sys; sys.modules['torch'] = None; "
        f"from lilnetx.cli.main import main; sys.exit(main({[str(word) for word in argv]!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "lilnetx: error: compression without training needs the package 'torch', which is not "
        "installed: run pip install 'lilnetx[train]'\n"
    )
    assert not path.exists()


def test_arrays_are_taken_as_they_are(arrays):
    loaded = load_folder(arrays, SHAPE, None, 100)
    assert loaded.dtype == np.float32
    key = sorted(range(40), key=lambda i: IMAGES[i, 0, 0, 0])
    found = loaded[np.argsort(loaded[:, 0, 0, 0])]
    np.testing.assert_array_equal(found, IMAGES[key])
    assert len(load_folder(arrays, SHAPE, None, 7)) == 7
    np.testing.assert_array_equal(load_folder(arrays, SHAPE, None, 7), loaded[:7])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resize", [None, 16])
def test_pictures_are_resized_cut_and_normalised(tmp_path, channels, resize):
    image = pytest.importorskip("PIL.Image", reason="writes pictures")
    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[:, :20], pixels[:, 20:] = 50, 100
    image.fromarray(pixels).save(tmp_path / "a.png")
    preparation = Preprocessing((0.1,), (0.5,) * channels, 1 / 255, resize)
    loaded = load_folder(tmp_path, (channels, 12, 8), preparation, 5)
    assert loaded.shape == (1, channels, 12, 8)
    expected = (np.array([50, 100]) / 255 - 0.1) / 0.5
    np.testing.assert_allclose(loaded[0, :, 6, 0], expected[0], atol=1e-4)
    np.testing.assert_allclose(loaded[0, :, 6, -1], expected[1], atol=1e-4)


class TestFolders:
    def test_none_there(self, tmp_path):
        with pytest.raises(CalibrationError, match="no such folder"):
            load_folder(tmp_path / "none", SHAPE, None, 10)

    def test_no_images(self, tmp_path):
        (tmp_path / "notes.txt").touch()
        with pytest.raises(CalibrationError, match="holds no images"):
            load_folder(tmp_path, SHAPE, None, 10)

    @pytest.mark.parametrize(
        "array", [np.zeros((3, 12, 11), np.float32), np.zeros(SHAPE), np.zeros((2, 2, *SHAPE))]
    )
    def test_arrays_that_do_not_fit(self, tmp_path, array):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(CalibrationError, match=r"a.npy: .* expected float32 of shape \(3, 12"):
            load_folder(tmp_path, SHAPE, None, 10)

    def test_arrays_that_are_none(self, tmp_path):
        (tmp_path / "a.npy").write_bytes(b"nonsense")
        with pytest.raises(CalibrationError, match="cannot be read as an array"):
            load_folder(tmp_path, SHAPE, None, 10)

    def test_values_that_are_not_finite(self, tmp_path):
        np.save(tmp_path / "a.npy", np.full(SHAPE, np.nan, np.float32))
        with pytest.raises(CalibrationError, match="not finite"):
            load_folder(tmp_path, SHAPE, None, 10)

    def test_pictures_without_normalisation(self, pictures):
        with pytest.raises(CalibrationError, match="--mean and --std"):
            load_folder(pictures, SHAPE, None, 10)

    def test_a_damaged_picture(self, tmp_path):
        pytest.importorskip("PIL", reason="reads pictures")
        (tmp_path / "a.png").write_bytes(b"nonsense")
        with pytest.raises(CalibrationError, match="cannot be read as a picture"):
            load_folder(tmp_path, SHAPE, Preprocessing((0,), (1,)), 10)

    def test_pictures_for_another_kind_of_input(self, pictures):
        with pytest.raises(CalibrationError, match="does not fit the network's input"):
            load_folder(pictures, (7,), Preprocessing((0,), (1,)), 10)

    def test_means_of_too_many_channels(self, pictures):
        with pytest.raises(CalibrationError, match="2 values for 3 channels"):
            load_folder(pictures, SHAPE, Preprocessing((0, 0), (1, 1)), 10)

    def test_pictures_without_pillow(self, pictures, monkeypatch):
        monkeypatch.setitem(sys.modules, "PIL", None)
        with pytest.raises(MissingExtraError, match=r"'Pillow'.*lilnetx\[images\]"):
            load_folder(pictures, SHAPE, Preprocessing((0,), (1,)), 10)
