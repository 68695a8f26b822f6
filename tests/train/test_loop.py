import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from lilnetx.data import ImageDataset  # noqa: E402
from lilnetx.errors import CheckpointError, DivergedError, OutputError, UsageError  # noqa: E402
from lilnetx.train import loop  # noqa: E402
from lilnetx.train.augment import augment  # noqa: E402
from lilnetx.train.checkpoint import load_checkpoint, restore  # noqa: E402
from lilnetx.train.config import TrainConfig  # noqa: E402
from lilnetx.train.feed import Batches  # noqa: E402
from lilnetx.train.start import build_model  # noqa: E402

CONFIG = TrainConfig(width=4, epochs=3, batch_size=16, validation=16, seed=5)


def make_data(count: int = 96) -> ImageDataset:
    """Classes that differ by which quarter of the image is bright."""
    rng = np.random.default_rng(0)

    def split(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, 4, n)
        images = rng.integers(0, 80, (n, 1, 12, 12))
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 2)
            image[0, 6 * row : 6 * row + 6, 6 * column : 6 * column + 6] += 150
        return images.astype(np.uint8), labels.astype(np.int64)

    train, test = split(count), split(40)
    return ImageDataset("toy", tuple("abcd"), *train, *test, (0.3,), (0.25,))


DATA = make_data()


def weights(model) -> dict:
    return {k: v.clone() for k, v in model.state_dict().items() if isinstance(v, torch.Tensor)}


def assert_same_weights(first, second):
    a, b = weights(first), weights(second)
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=0, atol=0, msg=key)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return loop.train(CONFIG, DATA, folder, progress=False), folder


def test_log_has_a_line_for_the_settings_each_epoch_and_the_result(whole_run):
    trained, folder = whole_run
    rows = [json.loads(line) for line in (folder / loop.LOG).read_text().splitlines()]
    assert [row["event"] for row in rows] == ["config", "epoch", "epoch", "epoch", "final"]
    assert rows[0]["seed"] == 5
    assert {"loss", "validation_top1", "bits", "sparsity_kxk", "macs_left"} <= rows[1].keys()
    assert rows[-1] == trained.result
    assert rows[-1]["test_images"] == 40


def test_an_interrupted_run_resumes_to_the_same_bits(whole_run, tmp_path, monkeypatch):
    saved = loop.save_checkpoint

    def save_then_die(path, config, facts, epoch, *state):
        saved(path, config, facts, epoch, *state)
        if epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", save_then_die)
    with pytest.raises(KeyboardInterrupt):
        loop.train(CONFIG, DATA, tmp_path, progress=False)
    monkeypatch.setattr(loop, "save_checkpoint", saved)
    resumed = loop.train(CONFIG, DATA, tmp_path, progress=False)
    assert_same_weights(resumed.model, whole_run[0].model)
    assert resumed.result == whole_run[0].result


def test_a_run_in_reduced_precision_resumes_to_the_same_bits(tmp_path, monkeypatch):
    config = dataclasses.replace(CONFIG, epochs=2, precision="bf16", sampled_noise=True)
    whole = loop.train(config, DATA, tmp_path / "whole", progress=False)
    assert all(p.dtype == torch.float32 for p in whole.model.parameters())
    plain = loop.train(
        dataclasses.replace(config, precision="fp32"), DATA, tmp_path / "plain", progress=False
    )
    assert plain.result["bits"] != whole.result["bits"]
    saved = loop.save_checkpoint

    def save_then_die(*state):
        saved(*state)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", save_then_die)
    with pytest.raises(KeyboardInterrupt):
        loop.train(config, DATA, tmp_path / "run", progress=False)
    monkeypatch.setattr(loop, "save_checkpoint", saved)
    assert_same_weights(loop.train(config, DATA, tmp_path / "run").model, whole.model)


def test_a_finished_run_is_not_trained_further(whole_run):
    trained, folder = whole_run
    again = loop.train(CONFIG, DATA, folder, progress=False)
    assert_same_weights(again.model, trained.model)


def test_training_learns_separable_classes(tmp_path):
    config = dataclasses.replace(
        CONFIG, epochs=12, learning_rate=0.004, rate=0.1, crop_padding=0, flip=False
    )
    assert loop.train(config, DATA, tmp_path, progress=False).result["test_top1"] >= 0.9


def test_a_run_that_diverges_says_so_and_keeps_the_checkpoint_from_before(tmp_path, monkeypatch):
    real, calls = loop.task_loss, []

    def loss_of(*args):
        calls.append(1)
        return real(*args) * (float("nan") if len(calls) > 7 else 1.0)

    monkeypatch.setattr(loop, "task_loss", loss_of)
    with pytest.raises(DivergedError, match=r"loss is nan .* in step 7: .* smaller learning_rate"):
        loop.train(CONFIG, DATA, tmp_path, progress=False)
    assert load_checkpoint(tmp_path / loop.CHECKPOINT)["epoch"] == 1


def test_dense_baseline_has_no_latents(tmp_path):
    config = dataclasses.replace(CONFIG, dense=True, epochs=1)
    trained = loop.train(config, DATA, tmp_path, progress=False)
    assert trained.handle is None
    assert not any("parametrizations" in key for key in trained.model.state_dict())


def test_a_checkpoint_of_other_settings_is_refused(whole_run):
    other = dataclasses.replace(CONFIG, rate=2.0, epochs=4)
    with pytest.raises(CheckpointError, match=r"epochs: 3 there, 4 here; rate: 0.7 there, 2.0"):
        loop.train(other, DATA, whole_run[1], progress=False)


def test_a_checkpoint_of_other_images_is_refused(whole_run):
    flipped = dataclasses.replace(DATA, train_labels=DATA.train_labels[::-1].copy())
    for other in (make_data(97), flipped, dataclasses.replace(DATA, mean=(0.4,))):
        with pytest.raises(CheckpointError, match="was made with other images"):
            loop.train(CONFIG, other, whole_run[1], progress=False)


def test_a_start_that_was_trained_with_the_images_held_out_here_is_refused(whole_run, tmp_path):
    start = dataclasses.replace(CONFIG, start=str(whole_run[1]), epochs=1)
    for change in ({"seed": 6}, {"validation": 17}):
        with pytest.raises(CheckpointError, match=r"seed 5 \(16 images\): give the same"):
            loop.train(dataclasses.replace(start, **change), DATA, tmp_path, progress=False)
    assert loop.train(start, DATA, tmp_path / "fits", progress=False).result["test_images"] == 40


def test_a_dense_run_may_start_from_a_trained_network(whole_run, tmp_path):
    config = dataclasses.replace(
        CONFIG, start=str(whole_run[1]), dense=True, epochs=1, learning_rate=1e-12
    )
    trained = loop.train(config, DATA, tmp_path, progress=False)
    decoded = [layer.module.weight for layer in whole_run[0].handle.layers]
    dense = [m.weight for m in trained.model.modules() if hasattr(m, "kernel_size")]
    torch.testing.assert_close(dense[0], decoded[0], rtol=0, atol=1e-6)


def test_some_of_the_training_images_are_of_all_classes():
    labels = np.repeat(np.arange(4), 25)
    data = dataclasses.replace(make_data(100), train_labels=labels)
    batches = Batches(dataclasses.replace(CONFIG, train_images=20), data, np.arange(100))
    seen = [label for batch in batches.epoch(0) for label in batch.labels.tolist()]
    assert len(seen) == 20
    assert set(seen) == {0, 1, 2, 3}


def test_a_line_for_each_epoch_says_how_far_the_run_is(tmp_path, capsys):
    loop.train(dataclasses.replace(CONFIG, epochs=2), DATA, tmp_path)
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert "% of multiply-adds left, 0 min to go" in lines[0]
    assert "validation" in lines[1]
    loop.train(CONFIG, DATA, tmp_path / "quiet", progress=False)
    assert capsys.readouterr().err == ""


def test_a_device_that_is_not_there_is_refused(tmp_path):
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="finds no GPU"):
            loop.train(CONFIG, DATA, tmp_path / "run", progress=False, device="cuda")
    with pytest.raises(UsageError, match="device must be one of auto, cpu, cuda"):
        loop.train(CONFIG, DATA, tmp_path / "run", progress=False, device="tpu")
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_network_is_refused(whole_run):
    path = whole_run[1] / loop.CHECKPOINT
    wider, _ = build_model(dataclasses.replace(CONFIG, width=8), DATA.facts)
    with pytest.raises(CheckpointError, match="another network"):
        restore(path, load_checkpoint(path), wider, None)


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_truncated_checkpoints_are_refused(whole_run, tmp_path, kept):
    raw = (whole_run[1] / loop.CHECKPOINT).read_bytes()
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(raw[: int(kept * len(raw)) if isinstance(kept, float) else kept])
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        load_checkpoint(path)


def test_foreign_and_missing_checkpoints_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none.pt")
    torch.save({"model": 1}, tmp_path / "foreign.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of lilnetx"):
        load_checkpoint(tmp_path / "foreign.pt")


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save(Evil(), tmp_path / "evil.pt")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "evil.pt")


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"width": 0},
        {"validation": 96},
        {"validation": 0},
        {"precision": "fp8"},
        {"learning_rate": -1.0},
        {"learning_rate": float("nan")},
        {"crop_padding": -1},
        {"seed": -1},
        {"warmup": 1.0},
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, change):
    with pytest.raises(UsageError):
        loop.train(dataclasses.replace(CONFIG, **change), DATA, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("damage", [{"epoch": None}, {"model": 3}, {"data": {"name": "x"}}])
def test_checkpoints_with_parts_missing_are_refused(whole_run, tmp_path, damage):
    state = torch.load(whole_run[1] / loop.CHECKPOINT, weights_only=True)
    torch.save({**state, **damage}, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="does not fit"):
        load_checkpoint(tmp_path / "checkpoint.pt")


def test_an_unwritable_folder_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        loop.train(CONFIG, DATA, tmp_path / "file" / "run", progress=False)


def test_augmentation_shifts_within_the_padding_and_mirrors():
    images = torch.zeros(400, 1, 9, 9)
    images[:, 0, 4, 2] = 1
    out = augment(images, 2, True, torch.Generator().manual_seed(0))
    rows, columns = out.sum(3).argmax(2).flatten(), out.sum(2).argmax(2).flatten()
    assert (out.sum((1, 2, 3)) == 1).all()
    assert set(rows.tolist()) == {2, 3, 4, 5, 6}
    # Column 2 moves by -2..2, and mirrored images start from column 6.
    assert set(columns.tolist()) == set(range(9))
    still = augment(images, 0, False, torch.Generator().manual_seed(0))
    assert torch.equal(still, images)
