import shutil

import numpy as np
import pytest

image_module = pytest.importorskip(
    "PIL.Image", reason="Pillow is not installed: folders of images cannot be read"
)

from lilnetx.data import load  # noqa: E402
from lilnetx.data.folder import _random_box  # noqa: E402
from lilnetx.errors import DataError, UsageError  # noqa: E402


def gradient(width: int, height: int, red: int) -> np.ndarray:
    """Green rises from left to right, blue from top to bottom."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = red
    pixels[..., 1] = np.linspace(0, 255, width)[None, :]
    pixels[..., 2] = np.linspace(0, 255, height)[:, None]
    return pixels


def write(path, pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image_module.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path):
    for split, count in (("train", 3), ("val", 2)):
        for label, name in enumerate(("cat", "dog")):
            for i in range(count):
                write(tmp_path / split / name / f"{i}.png", gradient(60, 40, 100 * label + i))
    write(tmp_path / "train" / "dog" / "more" / "a.JPEG", gradient(30, 90, 200))
    (tmp_path / "train" / "dog" / "notes.txt").write_text("no image")
    (tmp_path / "train" / ".cache").mkdir()
    return tmp_path


def test_classes_are_folders_and_images_their_files(root):
    data = load("folder", root, 32)
    assert data.classes == ("cat", "dog")
    assert data.train_images.shape == (7, 3, 32, 32)
    assert data.facts.image_shape == (3, 32, 32)
    np.testing.assert_array_equal(data.train_labels, [0, 0, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(data.test_labels, [0, 0, 1, 1])
    images = data.train_images[np.array([4, 0])]
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[:, 0, 0, 0], [101, 0])
    np.testing.assert_array_equal(data.test_images[1:3], data.test_images[np.array([1, 2])])


def test_evaluation_sees_the_middle(root):
    image = load("folder", root, 56).test_images[:1][0].astype(float)
    # 35 of the 40 rows, and 35 of the 60 columns around the middle.
    across, down = image[1].mean(0), image[2].mean(1)
    for found, count in ((across, 60), (down, 40)):
        first, last = (count - 35) / 2, (count + 35) / 2 - 1
        assert found[0] == pytest.approx(255 * first / (count - 1), abs=3)
        assert found[-1] == pytest.approx(255 * last / (count - 1), abs=3)


def test_random_parts_hang_on_the_seed_and_the_image_alone(root):
    images = load("folder", root, 24).train_images
    whole = images.random_parts(np.arange(7), (3, 1), 0.08, True)
    np.testing.assert_array_equal(
        images.random_parts(np.array([5, 2]), (3, 1), 0.08, True), whole[[5, 2]]
    )
    assert not np.array_equal(images.random_parts(np.arange(7), (3, 2), 0.08, True), whole)
    # Mirrored images have green fall from left to right.
    many = np.concatenate(
        [images.random_parts(np.arange(7), (0, n), 0.3, True) for n in range(30)]
    ).astype(float)
    mirrored = (many[:, 1, :, -1].mean(1) < many[:, 1, :, 0].mean(1)).mean()
    assert 0.35 < mirrored < 0.65
    straight = images.random_parts(np.arange(7), (0, 1), 0.3, False).astype(float)
    assert (straight[:, 1, :, -1].mean(1) > straight[:, 1, :, 0].mean(1)).all()


@pytest.mark.parametrize("size", [(100, 100), (1, 1), (500, 20), (20, 500), (3, 1000)])
def test_boxes_lie_inside_and_have_area_and_ratio_as_asked(size):
    width, height = size
    rng = np.random.default_rng(0)
    for _ in range(200):
        left, top, right, bottom = _random_box(rng, width, height, 0.25)
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        if size == (100, 100):
            assert 0.24 <= (right - left) * (bottom - top) / 1e4 <= 1
            assert 0.74 <= (right - left) / (bottom - top) <= 1.35


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_a_damaged_image_is_named(root, damage):
    path = root / "train" / "cat" / "1.png"
    raw = path.read_bytes()
    path.write_bytes({"cut": raw[: len(raw) // 2], "text": b"not an image", "empty": b""}[damage])
    data = load("folder", root, 32)
    with pytest.raises(DataError, match="replace or remove this image") as caught:
        data.train_images[np.array([0, 1])]
    assert str(path) in str(caught.value)
    with pytest.raises(DataError, match=r"1\.png"):
        data.train_images.random_parts(np.array([1]), (0,), 0.08, True)


def test_folders_that_cannot_be_used_are_refused(root, monkeypatch):
    monkeypatch.delenv("LILNETX_DATA", raising=False)
    with pytest.raises(UsageError, match="--data-root"):
        load("folder")
    with pytest.raises(DataError, match="expected folders train and val"):
        load("folder", root / "none")
    (root / "val" / "bird").mkdir()
    with pytest.raises(DataError, match="classes that train has not: bird"):
        load("folder", root)
    (root / "train" / "bird").mkdir()
    with pytest.raises(DataError, match="bird: holds no images"):
        load("folder", root)
    shutil.rmtree(root / "train" / "bird")
    shutil.rmtree(root / "train" / "dog")
    with pytest.raises(DataError, match="one for each of two or more"):
        load("folder", root)


def test_the_environment_names_the_folder(root, monkeypatch):
    monkeypatch.setenv("LILNETX_DATA", str(root))
    assert load("folder").facts.image_shape == (3, 224, 224)
