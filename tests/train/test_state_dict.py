"""Weights in torchvision's form as a start: made by our networks, whose names are torchvision's."""

import dataclasses
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from lilnetx.data import ImageDataset  # noqa: E402
from lilnetx.errors import CheckpointError  # noqa: E402
from lilnetx.train import loop  # noqa: E402
from lilnetx.train.config import TrainConfig  # noqa: E402
from lilnetx.train.networks import NETWORKS, WIDTHS, build_network  # noqa: E402
from lilnetx.train.start import build_model, dense_start  # noqa: E402
from lilnetx.train.state_dict import start_from_state  # noqa: E402

CONFIG = TrainConfig(network="resnet18", width=8, epochs=1, batch_size=8, validation=8)


def make_data() -> ImageDataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, 3, 32, 32), np.uint8)
    labels = np.arange(24) % 4
    return ImageDataset(
        "toy", tuple("abcd"), images, labels, images, labels, (0.5,) * 3, (0.25,) * 3
    )


FACTS = make_data().facts


@pytest.fixture(scope="module")
def trained():
    """A state that differs from every fresh one, batch norm's statistics included."""
    torch.manual_seed(9)
    network = build_network("resnet18", 3, 4, 8)
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, 3, 32, 32))
    return network.state_dict()


def start(state, path, **changes):
    if path.suffix == ".safetensors":
        save = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
        save.save_file(state, path)
    else:
        torch.save(state, path)
    config = dataclasses.replace(CONFIG, start=str(path), **changes)
    return dense_start(config, FACTS)


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.safetensors"])
def test_all_weights_are_those_of_the_file(trained, tmp_path, name):
    found = start(trained, tmp_path / name)
    assert found.keys() == trained.keys()
    for key, value in trained.items():
        assert torch.equal(found[key], value), key


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": {f"module.{k}": v for k, v in state.items()}},
        # Files of torchvision's early days lack this count.
        lambda state: {k: v for k, v in state.items() if "num_batches_tracked" not in k},
    ],
)
def test_common_wrappings_are_opened(trained, tmp_path, wrap):
    found = start(wrap(trained), tmp_path / "w.pth")
    for key, value in trained.items():
        if "num_batches_tracked" not in key:
            assert torch.equal(found[key], value), key


def test_names_of_old_densenets_are_known():
    torch.manual_seed(0)
    network = build_network("densenet121", 3, 4, 8)
    state = {k: torch.randn(v.shape) for k, v in network.state_dict().items()}
    old = {}
    for key, value in state.items():
        for part in ("norm1", "norm2", "conv1", "conv2"):
            if "denselayer" in key:
                key = key.replace(f".{part}.", f".{part[:-1]}.{part[-1]}.")
        old[key] = value
    assert old.keys() != state.keys()
    found, fresh = start_from_state("d.pth", old, network)
    assert not fresh
    for key, value in state.items():
        assert torch.equal(found[key], value), key


def test_other_classes_start_with_a_fresh_head_and_a_notice(trained, tmp_path):
    other = dict(trained)
    other["fc.weight"], other["fc.bias"] = torch.randn(1000, 64), torch.randn(1000)
    with pytest.warns(UserWarning, match="knows 1000 classes, not 4: layer fc starts fresh"):
        found = start(other, tmp_path / "w.pth")
    assert found["fc.weight"].shape == (4, 64)
    assert torch.equal(found["conv1.weight"], trained["conv1.weight"])
    with (
        pytest.warns(UserWarning, match="starts fresh"),
        pytest.raises(CheckpointError, match="cannot teach"),
    ):
        start(other, tmp_path / "w.pth", distill=0.5)


def test_with_the_same_classes_nothing_is_said(trained, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        start(trained, tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {k: v for k, v in s.items() if k != "bn1.weight"}, "without .* bn1.weight"),
        (lambda s: {**s, "extra.weight": s["bn1.bias"]}, "unknown extra.weight"),
        (
            lambda s: {**s, "conv1.weight": s["conv1.weight"][:, :1].clone()},
            r"conv1.weight \(8, 1, 7, 7\) instead of \(8, 3, 7, 7\)",
        ),
        (lambda s: {f"x.{k}": v for k, v in s.items()}, r"conv1.weight, .* and \d+ more"),
        (lambda s: {"epoch": 3}, "neither a checkpoint .* nor a state_dict"),
        (lambda s: [1, 2], "neither a checkpoint"),
    ],
)
def test_what_does_not_fit_is_listed(trained, tmp_path, change, message):
    with pytest.raises(CheckpointError, match=message):
        start(change(trained), tmp_path / "w.pth")


class Evil:
    def __reduce__(self):
        return (print, ("ran",))


def test_files_that_cannot_be_read_are_refused(trained, tmp_path, capsys):
    torch.save(Evil(), tmp_path / "evil.pth")
    torch.save(trained, tmp_path / "cut.pth")
    whole = (tmp_path / "cut.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    for name, message in (
        ("evil.pth", "more than tensors"),
        ("cut.pth", "cut.pth: "),
        ("none.pth", "no such checkpoint"),
    ):
        with pytest.raises(CheckpointError, match=message):
            dense_start(dataclasses.replace(CONFIG, start=str(tmp_path / name)), FACTS)
    assert capsys.readouterr().out == ""


def test_damaged_safetensors_are_refused(tmp_path):
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    (tmp_path / "w.safetensors").write_bytes(b"\x10")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        dense_start(dataclasses.replace(CONFIG, start=str(tmp_path / "w.safetensors")), FACTS)


def test_training_starts_from_the_file(trained, tmp_path):
    torch.save(trained, tmp_path / "w.pth")
    config = dataclasses.replace(CONFIG, start=str(tmp_path / "w.pth"), distill=0.5)
    model, handle = build_model(config, FACTS, dense_start(config, FACTS))
    conv = model.conv1.weight.detach()
    # Latents round to half a step of what the file says.
    error = (conv - trained["conv1.weight"]).reshape(-1, 49).norm(dim=1)
    assert error.max() <= 3.6 * handle.layers[0].parametrization.unit
    result = loop.train(config, make_data(), tmp_path / "run", progress=False).result
    assert np.isfinite(result["bits"])


@pytest.mark.parametrize("name", WIDTHS)
def test_each_network_with_torchvisions_names_can_be_trained(name):
    model = NETWORKS[name](3, 5, 8)
    assert model.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 5)
