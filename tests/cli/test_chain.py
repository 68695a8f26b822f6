"""The road from data to a running network, as the README walks it, on small images."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch, which is not installed")

from lilnetx.cli.main import main  # noqa: E402
from lilnetx.data import load, normalise, validation_split  # noqa: E402
from lilnetx.format import read_lnx  # noqa: E402
from lilnetx.packing.trim import TrimReport  # noqa: E402
from lilnetx.train.checkpoint import load_checkpoint, restore  # noqa: E402
from lilnetx.train.start import build_model  # noqa: E402

SETTINGS = ["--epochs", "2", "--width", "4", "--validation", "60", "--batch-size", "30"]


def train_argv(folder, data, *extra, network="resnet20"):
    start = ["train", network, "--data", "fashion-mnist", "--data-root", str(data)]
    return [*start, "-o", str(folder), "--quiet", *SETTINGS, *extra]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, tiny_fashion_mnist):
    folder = tmp_path_factory.mktemp("runs") / "fashion"
    assert main(train_argv(folder, tiny_fashion_mnist)) == 0
    return folder


@pytest.fixture(scope="module")
def packed(run_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "fashion.lnx"
    assert main(["pack", str(run_folder), "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def trained_model(run_folder):
    path = run_folder / "checkpoint.pt"
    state = load_checkpoint(path)
    model, handle = build_model(state["config"], state["data"])
    restore(path, state, model, None)
    return model.eval(), handle


def test_training_again_ends_with_the_same_figures_and_the_next_command(
    run_folder, tiny_fashion_mnist, capsys
):
    assert main(train_argv(run_folder, tiny_fashion_mnist)) == 0
    out = capsys.readouterr().out
    assert "test top-1" in out
    assert f"next: lilnetx pack {run_folder} -o fashion.lnx" in out
    finals = [
        row
        for row in map(json.loads, (run_folder / "log.jsonl").read_text().splitlines())
        if row["event"] == "final"
    ]
    assert len(finals) == 2
    assert finals[0] == finals[-1]


def test_a_checkpoint_of_other_settings_is_refused(run_folder, tiny_fashion_mnist, capsys):
    before = (run_folder / "checkpoint.pt").read_bytes()
    for argv in (
        train_argv(run_folder, tiny_fashion_mnist, network="resnet32"),
        train_argv(run_folder, tiny_fashion_mnist, "--rate", "3"),
    ):
        assert main(argv) == 2
        err = capsys.readouterr().err
        assert err.startswith("lilnetx: error: ")
        assert err.count("\n") == 1
        assert "other settings" in err
    assert (run_folder / "checkpoint.pt").read_bytes() == before


def test_packing_keeps_the_integers_bit_for_bit(packed, trained_model):
    _, handle = trained_model
    graph = read_lnx(packed)
    for layer in handle.layers:
        np.testing.assert_array_equal(
            graph.node(layer.name).weight.latents, layer.integers().numpy()
        )


def test_the_file_says_where_it_comes_from(packed):
    meta = read_lnx(packed).meta
    assert meta["dataset"] == "fashion-mnist"
    assert len(meta["classes"]) == 10
    assert meta["training"] == {
        "network": "resnet20",
        "epochs": 2,
        "width": 4,
        "validation": 60,
        "batch_size": 30,
    }
    assert set(meta["input"]) == {"mean", "std"}


def test_eval_agrees_with_the_trained_model(packed, trained_model, tiny_fashion_mnist, capsys):
    data = load("fashion-mnist", tiny_fashion_mnist)
    model, _ = trained_model
    with torch.no_grad():
        logits = model(torch.from_numpy(normalise(data.test_images, data.mean, data.std)))
    expected = int((logits.argmax(1).numpy() == data.test_labels).sum())
    argv = ["eval", str(packed), "--data-root", str(tiny_fashion_mnist), "--json"]
    assert main(argv) == 0
    assert abs(json.loads(capsys.readouterr().out)["correct"] - expected) <= 1


def test_pack_says_size_and_ratio(run_folder, tmp_path, capsys):
    path = tmp_path / "fashion.lnx"
    assert main(["pack", str(run_folder / "checkpoint.pt"), "-o", str(path)]) == 0
    out = capsys.readouterr().out
    assert f"{path.stat().st_size:,} bytes" in out
    assert "of the dense float32 parameters" in out


def test_trimming_says_what_it_changed(run_folder, tiny_fashion_mnist, packed, tmp_path, capsys):
    path = tmp_path / "trimmed.lnx"
    argv = ["pack", str(run_folder), "-o", str(path), "--data-root", str(tiny_fashion_mnist)]
    assert main([*argv, "--trim", "0.01", "--trim-images", "40"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"trimmed: \d+\.\d\d % of the integers changed", out)
    assert "of 20 images" in out
    assert path.stat().st_size <= packed.stat().st_size


@pytest.mark.parametrize("trained_on", [0, 100])
def test_trimming_sees_images_from_all_over_the_training_set(
    trained_on, run_folder, tiny_fashion_mnist, tmp_path, monkeypatch
):
    state = torch.load(run_folder / "checkpoint.pt", weights_only=True)
    state["config"]["train_images"] = trained_on
    torch.save(state, tmp_path / "run.pt")
    seen = []

    def no_trim(model, images, limit, **kwargs):
        seen.append(images.numpy())
        return TrimReport(0.0, 1.0, len(images), 0.0, 0.0, 0.0)

    monkeypatch.setattr("lilnetx.packing.trim.trim", no_trim)
    argv = ["pack", str(tmp_path / "run.pt"), "-o", str(tmp_path / "m.lnx"), "--trim", "0.01"]
    assert main([*argv, "--trim-images", "20", "--data-root", str(tiny_fashion_mnist)]) == 0
    data = load("fashion-mnist", tiny_fashion_mnist)
    index = validation_split(300, 60, 0)[0][: trained_on or None]
    expected = data.train_images[index[:: len(index) // 20]]
    np.testing.assert_array_equal(seen[0], normalise(expected, data.mean, data.std))


@pytest.mark.parametrize("trim", [(), ("--trim", "0.01", "--data-root", "DATA")])
def test_packing_as_json(run_folder, tiny_fashion_mnist, trim, tmp_path, capsys):
    path = tmp_path / "fashion.lnx"
    options = [str(tiny_fashion_mnist) if word == "DATA" else word for word in trim]
    assert main(["pack", str(run_folder), "-o", str(path), "--json", *options]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["file_bytes"] == path.stat().st_size < facts["dense_fp32_bytes"]
    assert ("trimmed" in facts) is bool(trim)
    if trim:
        assert facts["trimmed"]["divergence"] <= 0.01


def test_benchmark_of_the_packed_file(packed, tmp_path, capsys):
    out = tmp_path / "bench.json"
    argv = ["bench", str(packed), "--against", "torch", "--seconds", "0.1", "--json", str(out)]
    assert main(argv) == 0
    assert "SYNTHETIC" not in capsys.readouterr().out
    row = json.loads(out.read_text())
    assert row["synthetic"] is False
    assert row["max_rel_error"] <= 1e-4


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_leaves_no_file(damage, run_folder, tmp_path, capsys):
    path = tmp_path / "checkpoint.pt"
    whole = (run_folder / "checkpoint.pt").read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert main(["pack", str(path), "-o", str(tmp_path / "x.lnx")]) == 2
    err = capsys.readouterr().err
    assert "checkpoint.pt" in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_of_another_network_is_refused(run_folder, tmp_path, capsys):
    state = torch.load(run_folder / "checkpoint.pt", weights_only=True)
    state["config"]["width"] = 8
    torch.save(state, tmp_path / "other.pt")
    assert main(["pack", str(tmp_path / "other.pt"), "-o", str(tmp_path / "x.lnx")]) == 2
    assert "another network" in capsys.readouterr().err


def test_a_run_without_checkpoint_is_refused(tmp_path, capsys):
    assert main(["pack", str(tmp_path), "-o", str(tmp_path / "x.lnx")]) == 2
    assert "no such checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize("saved", [False, True])
def test_an_interrupted_training_says_how_to_go_on(
    tiny_fashion_mnist, tmp_path, monkeypatch, capsys, saved
):
    def interrupted(config, data, folder, **kwargs):
        folder.mkdir()
        if saved:
            (folder / "checkpoint.pt").write_bytes(b"")
        raise KeyboardInterrupt

    monkeypatch.setattr("lilnetx.train.loop.train", interrupted)
    assert main(train_argv(tmp_path / "run", tiny_fashion_mnist)) == 130
    assert ("the same command goes on" in capsys.readouterr().err) is saved


def test_training_without_data(tmp_path, capsys):
    assert main(train_argv(tmp_path / "run", tmp_path)) == 2
    err = capsys.readouterr().err
    assert "fashion-mnist" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_training_with_a_damaged_data_file(tiny_fashion_mnist, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(tiny_fashion_mnist, data)
    images = data / "train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:-100])
    assert main(train_argv(tmp_path / "run", data)) == 2
    assert "train-images-idx3-ubyte.gz" in capsys.readouterr().err
