"""Training on a folder of image files: learns, resumes to the same bits, names a damaged image."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")
image_module = pytest.importorskip(
    "PIL.Image", reason="Pillow is not installed: folders of images cannot be read"
)

from test_loop import CONFIG, assert_same_weights  # noqa: E402

from lilnetx.cli.main import main  # noqa: E402
from lilnetx.data import load  # noqa: E402
from lilnetx.errors import DataError  # noqa: E402
from lilnetx.train import loop  # noqa: E402
from lilnetx.train.folder_feed import FolderBatches  # noqa: E402

FOLDER = dataclasses.replace(
    CONFIG, data="folder", image_size=16, validation=8, epochs=2, crop_area=0.5
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Red, green and blue images of many sizes."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for split, count in (("train", 16), ("val", 6)):
        for channel, name in enumerate(("blue", "green", "red")):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 90, (*rng.integers(12, 40, 2), 3), np.uint8)
                pixels[..., 2 - channel] += 120
                image_module.fromarray(pixels).save(folder / split / name / f"{i}.jpg")
    return folder


@pytest.fixture(scope="module")
def whole_run(root, tmp_path_factory):
    data = load("folder", root, 16)
    return loop.train(FOLDER, data, tmp_path_factory.mktemp("whole"), progress=False)


def test_an_interrupted_run_resumes_to_the_same_bits(root, whole_run, tmp_path, monkeypatch):
    saved = loop.save_checkpoint

    def save_then_die(*state):
        saved(*state)
        raise KeyboardInterrupt

    data = load("folder", root, 16)
    monkeypatch.setattr(loop, "save_checkpoint", save_then_die)
    with pytest.raises(KeyboardInterrupt):
        loop.train(FOLDER, data, tmp_path, progress=False)
    monkeypatch.setattr(loop, "save_checkpoint", saved)
    resumed = loop.train(FOLDER, data, tmp_path, progress=False)
    assert_same_weights(resumed.model, whole_run.model)
    assert resumed.result == whole_run.result


def test_two_ranks_see_the_batches_of_one(root):
    data = load("folder", root, 16)
    index = np.arange(45)
    batches = FolderBatches(FOLDER, data, data.train_images, index)
    one = list(batches.epoch(1))
    assert len(one) == batches.steps == 3
    assert sum(len(batch.labels) for batch in one) == 45
    of_rank = [FolderBatches(FOLDER, data, data.train_images, index, r, 2) for r in range(2)]
    ranks = [list(batches.epoch(1)) for batches in of_rank]
    for whole, *parts in zip(one, *ranks, strict=True):
        assert sum(part.weight for part in parts) == pytest.approx(2)
        for rank, part in enumerate(parts):
            assert torch.equal(part.images, whole.images[rank::2])
            assert torch.equal(part.labels, whole.labels[rank::2])


def test_from_the_command_line_to_a_file_that_finds_the_colours(root, tmp_path, capsys):
    argv = ["train", "resnet18", "--data", "folder", "--data-root", str(root), "--width", "8"]
    argv += ["--image-size", "32", "--epochs", "12", "--batch-size", "8", "--validation", "6"]
    argv += ["--learning-rate", "0.004", "--rate", "0.2", "--crop-area", "0.5", "--quiet"]
    assert main([*argv, "-o", str(tmp_path / "run")]) == 0
    assert main(["pack", str(tmp_path / "run"), "-o", str(tmp_path / "x.lnx")]) == 0
    capsys.readouterr()
    assert main(["eval", str(tmp_path / "x.lnx"), "--data-root", str(root)]) == 0
    out = capsys.readouterr().out
    assert int(out.split(": ")[1].split(" of ")[0]) >= 15
    assert "of 18 test images of folder" in out


def test_a_damaged_image_ends_the_run_by_its_name(root, tmp_path):
    data = load("folder", root, 16)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    data.train_images.paths[20] = str(broken)
    with pytest.raises(DataError, match=r"broken\.jpg: cannot be decoded"):
        loop.train(FOLDER, data, tmp_path / "run", progress=False)
