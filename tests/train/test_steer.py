import dataclasses
import json

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from test_loop import CONFIG, assert_same_weights, make_data  # noqa: E402

import lilnetx  # noqa: E402
from lilnetx.errors import UsageError  # noqa: E402
from lilnetx.format import inspect_lnx  # noqa: E402
from lilnetx.packing import pack  # noqa: E402
from lilnetx.train import loop  # noqa: E402
from lilnetx.train.origin import file_meta  # noqa: E402
from lilnetx.train.steer import Steering, coded_bytes, trim_slices  # noqa: E402

DATA = make_data(320)
STEERED = dataclasses.replace(
    CONFIG, epochs=10, batch_size=8, validation=32, learning_rate=0.004, crop_padding=0, flip=False
)


@pytest.fixture(scope="module", params=[3000, 4500])
def bytes_run(request, tmp_path_factory):
    config = dataclasses.replace(STEERED, target_bytes=request.param)
    return loop.train(config, DATA, tmp_path_factory.mktemp("bytes"), progress=False)


def test_a_target_of_bytes_is_met_by_the_whole_file_and_nearly_used_up(bytes_run, tmp_path):
    meta = file_meta(bytes_run.config, DATA.facts, bytes_run.config.epochs)
    pack(bytes_run.model, tmp_path / "m.lnx", input_shape=(1, 12, 12), meta=meta)
    target = bytes_run.config.target_bytes
    assert 0.95 * target <= (tmp_path / "m.lnx").stat().st_size <= target


def test_coded_bytes_are_those_of_the_file(bytes_run, tmp_path):
    pack(bytes_run.model, tmp_path / "m.lnx", input_shape=(1, 12, 12))
    stored = inspect_lnx(tmp_path / "m.lnx").bytes_by_section["LATS"]
    assert coded_bytes(bytes_run.handle) == stored


@pytest.mark.parametrize("target", [120_000, 250_000])
def test_a_target_of_computation_is_met_and_nearly_used_up(tmp_path, target):
    config = dataclasses.replace(STEERED, target_macs=target)
    trained = loop.train(config, DATA, tmp_path, progress=False)
    assert 0.95 * target <= trained.result["macs_left"] <= target


@pytest.mark.parametrize("share", [0.4, 0.8])
def test_computation_is_next_to_its_target_from_the_share_that_was_asked_for(tmp_path, share):
    config = dataclasses.replace(STEERED, target_macs=200_000, macs_settled=share)
    loop.train(config, DATA, tmp_path, progress=False)
    rows = [json.loads(line) for line in (tmp_path / loop.LOG).read_text().splitlines()]
    left = [row["macs_left"] for row in rows if row["event"] == "epoch"]
    # The first step after that share belongs to the next epoch.
    settled = int(share * len(left))
    assert min(left[: settled - 1]) > 1.02 * 200_000
    assert max(left[settled:]) <= 1.02 * 200_000


def test_a_steered_run_resumes_to_the_same_bits(tmp_path, monkeypatch):
    config = dataclasses.replace(
        STEERED, epochs=4, target_bytes=8000, target_macs=300_000, macs_settled=0.3
    )
    whole = loop.train(config, DATA, tmp_path / "whole", progress=False)
    saved = loop.save_checkpoint

    def save_then_die(path, config, data, epoch, *state):
        saved(path, config, data, epoch, *state)
        # After slices were first fixed at zero, and before they are for the second time.
        if epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", save_then_die)
    with pytest.raises(KeyboardInterrupt):
        loop.train(config, DATA, tmp_path / "run", progress=False)
    monkeypatch.setattr(loop, "save_checkpoint", saved)
    again = loop.train(config, DATA, tmp_path / "run", progress=False)
    assert_same_weights(again.model, whole.model)
    assert again.result == whole.result
    kept = [layer.parametrization.kept for layer in whole.handle.layers]
    assert any((k == 0).any() for k in kept)


def mean_squares(handle) -> torch.Tensor:
    squares = [layer.integers().float().square().mean(dim=-1) for layer in handle.layers]
    return torch.cat([square.flatten() for square in squares])


def test_trimming_takes_the_least_slices_and_no_more_than_needed(bytes_run):
    handle = bytes_run.handle
    norms = mean_squares(handle)
    before = [layer.original.clone() for layer in handle.layers]
    wanted = sum(r.slices - r.zero_slices for r in handle.report().layers) - 10

    def left() -> int:
        return sum(r.slices - r.zero_slices for r in handle.report().layers)

    assert trim_slices(handle, lambda: left() <= wanted) == 10
    assert left() == wanted
    after = mean_squares(handle)
    gone = norms[(norms > 0) & (after == 0)]
    assert len(gone) == 10
    assert gone.max() <= norms[after > 0].min()
    with torch.no_grad():
        for layer, original in zip(handle.layers, before, strict=True):
            layer.original.copy_(original)


def test_trimming_leaves_a_lone_pointwise_latent_where_a_slice_of_many_weighs_no_more():
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 2, 3), torch.nn.Conv2d(2, 2, 1))
    handle = lilnetx.compress(network)
    with torch.no_grad():
        for layer in handle.layers:
            layer.original.zero_()
            layer.original.view(-1, layer.original.shape[-1])[:, 0] = layer.parametrization.unit

    def left() -> list[int]:
        return [r.slices - r.zero_slices for r in handle.report().layers]

    assert left() == [4, 4]
    trim_slices(handle, lambda: sum(left()) <= 4)
    assert left() == [0, 4]


def test_a_target_below_what_the_network_needs_without_weights_is_refused(tmp_path):
    config = dataclasses.replace(STEERED, target_bytes=500)
    with pytest.raises(UsageError, match=r"target_bytes of 500 cannot be reached: .* take \d+ "):
        loop.train(config, DATA, tmp_path / "run", progress=False)


def test_a_trim_that_cannot_succeed_changes_nothing(bytes_run):
    handle = bytes_run.handle
    before = [layer.original.clone() for layer in handle.layers]
    with pytest.raises(UsageError, match="cannot be reached"):
        trim_slices(handle, lambda: False)
    for layer, original in zip(handle.layers, before, strict=True):
        assert torch.equal(layer.original, original)


@pytest.mark.parametrize(("share", "reached"), [(0.05, False), (0.9, True)])
def test_single_latents_are_steered_where_most_of_the_computation_is_theirs(share, reached):
    pointwise = round(256 * share / (1 - share))
    network = torch.nn.Sequential(
        torch.nn.Conv2d(16, 1, 4, padding="same"), torch.nn.Conv2d(1, pointwise, 1)
    )
    handle = lilnetx.compress(network)
    network(torch.zeros(1, 16, 6, 6))
    macs = handle.report().macs
    for bytes_only in (True, False):
        steering = Steering(handle, 1000, 0 if bytes_only else macs // 4, lambda: 2000, 0.8)
        steering.prepare()
        assert handle.objective.single_latents == (reached and not bytes_only)


@pytest.mark.parametrize("below", [0.02, 0.2])
def test_a_size_a_little_below_the_wanted_one_lets_go_of_some_of_the_weight_only(below):
    network = torch.nn.Sequential(torch.nn.Conv2d(10, 10, 3))
    handle = lilnetx.compress(network)
    network(torch.zeros(1, 10, 6, 6))
    before = handle.objective.slices
    target = handle.report().macs // 2
    steering = Steering(handle, 0, target, lambda: 0, 0.8)
    steering.update(0, 1000)
    with torch.no_grad():
        handle.layers[0].original.view(100, 9)[: round(100 * below)] = 0
    # So early, nearly all slices are still wanted.
    steering.update(5, 1000)
    ratio = handle.objective.slices / before
    assert ratio < 0.5
    assert ratio > 0.1 or below > 0.1


@pytest.mark.parametrize("change", [{"rate": 0.0}, {"dense": True}, {"target_bytes": -1}])
def test_targets_that_cannot_be_steered_for_are_refused(tmp_path, change):
    config = dataclasses.replace(STEERED, **{"target_bytes": 3000, **change})
    with pytest.raises(UsageError, match="target_bytes"):
        loop.train(config, DATA, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_computation_must_settle_before_the_end(tmp_path):
    config = dataclasses.replace(STEERED, target_macs=200_000, macs_settled=1.0)
    with pytest.raises(UsageError, match="macs_settled"):
        loop.train(config, DATA, tmp_path / "run", progress=False)
