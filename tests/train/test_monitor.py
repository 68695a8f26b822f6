"""Event files, read back by a few lines of our own, and by TensorBoard where it is installed."""

import dataclasses
import struct

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from test_loop import CONFIG, make_data  # noqa: E402
from torch import nn  # noqa: E402

import lilnetx  # noqa: E402
from lilnetx._core import crc32c  # noqa: E402
from lilnetx.errors import OutputError  # noqa: E402
from lilnetx.train import Monitor, loop  # noqa: E402
from lilnetx.train.events import EventWriter  # noqa: E402
from lilnetx.train.slice_map import encode_png, slice_map  # noqa: E402


def fields(message: bytes) -> dict[int, list]:
    """A protocol buffer's values by field number."""
    found: dict[int, list] = {}
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(message):
        number, kind = divmod(varint(), 8)
        size = {1: 8, 5: 4}.get(kind)
        if kind == 0:
            value = varint()
        else:
            size = varint() if kind == 2 else size
            value = message[place : place + size]
            place += size
        found.setdefault(number, []).append(value)
    return found


def unmasked(data: bytes) -> int:
    rotated = (struct.unpack("<I", data)[0] - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def read(folder) -> dict[str, list[tuple[int, dict[int, list]]]]:
    """Steps and values by tag, of all event files, with their checksums checked."""
    found: dict[str, list] = {}
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        first, place = True, 0
        while place < len(data):
            (length,) = struct.unpack("<Q", data[place : place + 8])
            assert unmasked(data[place + 8 : place + 12]) == crc32c(data[place : place + 8])
            body = data[place + 12 : place + 12 + length]
            end = place + 12 + length
            assert unmasked(data[end : end + 4]) == crc32c(body)
            place = end + 4
            event = fields(body)
            assert (3 in event) is first
            first = False
            if 5 in event:
                value = fields(fields(event[5][0])[1][0])
                found.setdefault(value[1][0].decode(), []).append((event[2][0], value))
    return found


def scalar(value: dict[int, list]) -> float:
    return struct.unpack("<f", value[2][0])[0]


def test_events_are_those_that_were_written(tmp_path):
    writer = EventWriter(tmp_path / "events")
    writer.scalar("a/b", 1.5, 0)
    writer.scalar("a/b", -2.0, 300)
    writer.histogram("h", np.array([[-1, 0, 0], [2, 0, 2]], np.int32), 7)
    writer.histogram("wide", np.array([-3000, 3000], np.int32), 7)
    writer.histogram("nothing", np.zeros(0, np.int32), 7)
    writer.close()
    found = read(tmp_path / "events")
    assert [(step, scalar(value)) for step, value in found["a/b"]] == [(0, 1.5), (300, -2.0)]
    ((step, value),) = found["h"]
    content = fields(value[5][0])
    assert step == 7
    statistics = [struct.unpack("<d", content[n][0])[0] for n in range(1, 6)]
    assert statistics == [-1, 2, 6, 3, 9]
    limits = np.frombuffer(content[6][0], "<f8")
    counts = np.frombuffer(content[7][0], "<f8")
    np.testing.assert_array_equal(limits, [-1.5, -0.5, 0.5, 1.5, 2.5, 3.5])
    np.testing.assert_array_equal(counts, [0, 1, 3, 0, 2, 0])
    wide = fields(found["wide"][0][1][5][0])
    assert len(wide[7][0]) == 8 * 258
    assert np.frombuffer(wide[7][0], "<f8").sum() == 2


def test_a_run_writes_curves_histograms_and_pictures(tmp_path):
    config = dataclasses.replace(CONFIG, epochs=2)
    trained = loop.train(
        config, make_data(), tmp_path / "run", progress=False, tensorboard=tmp_path / "events"
    )
    found = read(tmp_path / "events")
    report = trained.handle.report()
    last = {tag: scalar(points[-1][1]) for tag, points in found.items() if 2 in points[-1][1]}
    assert last["cost/macs_left"] == report.macs_left
    assert last["run/validation_top1"] == pytest.approx(trained.result["validation_top1"])
    bits = {tag: value for tag, value in last.items() if tag.startswith("bits/")}
    assert set(bits) == {"bits/3x3", "bits/1x1", "bits/linear"}
    assert sum(bits.values()) == pytest.approx(report.bits, rel=1e-5)
    for row in report.layers:
        share = row.zero_slices / row.slices
        assert last[f"zero_slices/{row.name}"] == pytest.approx(share, abs=1e-6)
        histogram = fields(found[f"latents/{row.name}"][-1][1][5][0])
        assert np.frombuffer(histogram[7][0], "<f8").sum() == row.latents
        assert fields(found[f"slices/{row.name}"][-1][1][4][0])[4][0].startswith(b"\x89PNG")
    assert [step for step, _ in found["run/loss"]] == [5, 10]
    assert [step for step, _ in found["loss/task"]] == [0]


def test_a_loop_of_ones_own_and_a_dense_model(tmp_path):
    model = nn.Conv2d(1, 2, 3)
    handle = lilnetx.compress(model)
    with Monitor(tmp_path / "own", handle, every=2) as monitor:
        for step in range(4):
            monitor.step(step, task=torch.tensor(float(step)), penalty=handle.penalty())
        monitor.epoch(4)
    found = read(tmp_path / "own")
    assert [(step, scalar(v)) for step, v in found["loss/task"]] == [(0, 0.0), (2, 2.0)]
    assert "bits/3x3" in found
    with Monitor(tmp_path / "dense") as monitor:
        monitor.epoch(1, top1=0.5)
    assert set(read(tmp_path / "dense")) == {"run/top1"}


def layer_of(integers: torch.Tensor):
    model = nn.Conv2d(integers.shape[1], integers.shape[0], 3)
    (layer,) = lilnetx.compress(model).layers
    with torch.no_grad():
        layer.original.copy_(integers * layer.parametrization.unit)
    return layer


def test_a_slice_map_shows_zero_slices_white_and_the_largest_black():
    integers = torch.zeros(2, 3, 9)
    integers[0, 1, 4], integers[1, 2, 0], integers[1, 2, 1] = 1, 3, 4
    grey = slice_map(layer_of(integers))
    factor = grey.shape[0] // 2
    assert grey.shape == (2 * factor, 3 * factor)
    expected = np.full((2, 3), 255, np.uint8)
    expected[0, 1], expected[1, 2] = 152, 0
    np.testing.assert_array_equal(grey[::factor, ::factor], expected)
    np.testing.assert_array_equal(grey[factor - 1 :: factor, factor - 1 :: factor], expected)


def test_large_layers_are_reduced():
    integers = torch.zeros(3, 2500, 9)
    integers[:, :1250] = 1
    grey = slice_map(layer_of(integers))
    assert grey.shape == (3, 1024)
    assert (grey[:, :500] == 0).all()
    assert (grey[:, 600:] == 255).all()


def test_the_png_is_read_by_others():
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    import io

    grey = np.random.default_rng(0).integers(0, 256, (5, 9), np.uint8)
    with image.open(io.BytesIO(encode_png(grey))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), grey)


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write events"):
        Monitor(tmp_path / "file" / "events")


def test_tensorboard_reads_them(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed: its reading is not tested",
    )
    handle = lilnetx.compress(nn.Conv2d(2, 4, 3))
    with Monitor(tmp_path, handle) as monitor:
        monitor.step(0, task=2.5)
        monitor.epoch(3)
    events = accumulator.EventAccumulator(str(tmp_path)).Reload()
    tags = events.Tags()
    assert "bits/3x3" in tags["scalars"]
    assert len(tags["histograms"]) == len(tags["images"]) == 1
    (point,) = events.Scalars("loss/task")
    assert (point.step, point.value) == (0, 2.5)
    (histogram,) = events.Histograms(tags["histograms"][0])
    assert histogram.histogram_value.num == 4 * 2 * 9
    (picture,) = events.Images(tags["images"][0])
    assert picture.encoded_image_string.startswith(b"\x89PNG")
