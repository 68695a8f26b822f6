"""Pictures that can be installed, cut into many views, as ImageNet networks take them.

They are what they are. For evaluation: ten sample pictures of scikit-image and scikit-learn, not
all of them photographs, each cut at several places and sizes, and Fashion-MNIST's clothes,
enlarged. For calibration: thirteen other sample pictures; desktop backgrounds of Debian packages;
and photographs of things and animals, cut out for a paint program, put before these backgrounds.
No picture is in both. No labels fit them: they tell whether two networks answer alike.

Needs ``scikit-image``, ``scikit-learn``, Pillow, and for calibration the files of the Debian
packages ``mate-backgrounds``, ``ukui-wallpapers``, ``lomiri-wallpapers-16.04``,
``lomiri-wallpapers-20.04`` and ``tuxpaint-stamps-default`` (``apt-get download``, ``dpkg -x``: they
need not be installed).
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SIZE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Shorter sides in pixels before cutting; 256 is usual for ImageNet.
SCALES = (224, 256, 320, 448)
# Pictures are shared out by kind, before anything was measured on them; no picture is in both.
CALIBRATION = (
    "brick",
    "camera",
    "cell",
    "china",
    "coffee",
    "coins",
    "colorwheel",
    "gravel",
    "logo",
    "microaneurysms",
    "retina",
    "rocket",
    "text",
)
EVALUATION = (
    "astronaut",
    "cat",
    "clock",
    "flower",
    "grass",
    "hubble_deep_field",
    "immunohistochemistry",
    "moon",
    "motorcycle",
    "page",
)


def picture(name: str) -> np.ndarray:
    """A sample picture: uint8, ``(H, W, 3)``."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    if name in ("china", "flower"):
        image = load_sample_image(f"{name}.jpg")
    elif name == "motorcycle":
        image = data.stereo_motorcycle()[0]
    else:
        image = getattr(data, name)()
    return _rgb(image)


def _rgb(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    return np.ascontiguousarray(image[:, :, :3].astype(np.uint8))


def views(picture: np.ndarray) -> Iterator[np.ndarray]:
    """Cuts of a picture, each once plain and once mirrored: uint8, ``(224, 224, 3)``."""
    from PIL import Image

    image = Image.fromarray(picture)
    for scale in SCALES:
        factor = scale / min(image.size)
        width, height = (max(SIZE, round(n * factor)) for n in image.size)
        resized = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
        for top, left in _places(height, width):
            cut = resized[top : top + SIZE, left : left + SIZE]
            yield cut
            yield cut[:, ::-1]


def _places(height: int, width: int) -> list[tuple[int, int]]:
    """The middle, and the corners where these are elsewhere."""
    down, right = height - SIZE, width - SIZE
    corners = [(0, 0), (0, right), (down, 0), (down, right)]
    return list(dict.fromkeys([(down // 2, right // 2), *corners]))


def natural(names: tuple[str, ...]) -> np.ndarray:
    """All views of these pictures: uint8, ``(N, 224, 224, 3)``."""
    return np.stack([view for name in names for view in views(picture(name))])


def backgrounds(folder: Path, each: int) -> np.ndarray:
    """Random square cuts of all pictures below a folder: uint8, ``(N, 224, 224, 3)``."""
    from PIL import Image

    rng = np.random.default_rng(0)
    cuts = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".png")):
        with Image.open(path) as opened:
            opened.draft("RGB", (1200, 1200))
            image = opened.convert("RGB")
        if min(image.size) < SIZE:
            continue
        for _ in range(each):
            side = int(min(image.size) * rng.uniform(0.3, 1))
            left, top = (int(rng.integers(0, n - side + 1)) for n in image.size)
            box = (left, top, left + side, top + side)
            cuts.append(np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box)))
    return np.stack(cuts)


def stamps(folder: Path, behind: np.ndarray) -> np.ndarray:
    """Things and animals below a folder, each before a random picture: uint8, as ``behind``."""
    from PIL import Image

    rng = np.random.default_rng(1)
    drawn = {"cartoon", "symbols", "flags", "roadsigns", "shapes"}
    found = []
    for path in sorted(p for p in folder.rglob("*.png") if not drawn & set(p.parts)):
        with Image.open(path) as opened:
            thing = opened.convert("RGBA")
        factor = rng.integers(120, SIZE + 1) / max(thing.size)
        width, height = (max(1, round(n * factor)) for n in thing.size)
        thing = thing.resize((width, height), Image.Resampling.BICUBIC)
        picture = Image.fromarray(behind[rng.integers(len(behind))])
        place = (int(rng.integers(0, SIZE - width + 1)), int(rng.integers(0, SIZE - height + 1)))
        picture.paste(thing, place, thing)
        found.append(np.asarray(picture))
    return np.stack(found)


def fashion(root: Path, test: bool, count: int) -> np.ndarray:
    """The first images of Fashion-MNIST, enlarged: uint8, ``(count, 224, 224, 3)``."""
    from PIL import Image

    prefix = "t10k" if test else "train"
    with gzip.open(root / f"{prefix}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(16 + 784 * count), np.uint8, offset=16)
    large = [
        np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
        for image in pixels.reshape(-1, 28, 28)
    ]
    return np.stack([_rgb(image) for image in large])


def normalised(images: np.ndarray) -> np.ndarray:
    """As the network takes them: float32, ``(N, 3, 224, 224)``."""
    scaled = images.astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255)
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (MEAN, STD))
    return np.ascontiguousarray((scaled - mean) / std)
