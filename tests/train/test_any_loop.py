"""The two lines in loops and networks of all kinds, with the tools that people train with.

The data are made by a rule that a small network can learn, and are no substitute for real images:
what is tested is that training works, not how well.
"""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn  # noqa: E402

import lilnetx  # noqa: E402
from lilnetx.train import Objective  # noqa: E402


def squares(count: int, side: int = 16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise with one bright square each: images, masks, and boxes ``(row, column, size)``."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 1, side, side, generator=generator) * 0.3
    masks = torch.zeros(count, side, side)
    boxes = torch.zeros(count, 3)
    for index in range(count):
        size = int(torch.randint(4, 8, (), generator=generator))
        row, column = (int(v) for v in torch.randint(0, side - 7, (2,), generator=generator))
        images[index, 0, row : row + size, column : column + size] += 1.5
        masks[index, row : row + size, column : column + size] = 1
        boxes[index] = torch.tensor([row + size / 2, column + size / 2, size]) / side
    return images, masks, boxes


class UNet(nn.Module):
    """Halves the image, brings it back, and joins what was there before."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = block(1, 8)
        self.down = block(8, 16)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.leave = block(16, 8)
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, x):
        fine = self.enter(x)
        coarse = self.up(self.down(functional.max_pool2d(fine, 2)))
        return self.head(self.leave(torch.cat((fine, coarse), 1)))[:, 0]


class Detector(nn.Module):
    """Single shot: for each cell of two grids, whether a square's middle is there, and its box."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(block(1, 8), nn.MaxPool2d(2), block(8, 16), nn.MaxPool2d(2))
        self.coarser = nn.Sequential(nn.MaxPool2d(2), block(16, 16))
        self.heads = nn.ModuleList(nn.Conv2d(16, 4, 3, padding=1) for _ in range(2))

    def forward(self, x):
        fine = self.stem(x)
        return self.heads[0](fine), self.heads[1](self.coarser(fine))


def block(channels: int, filters: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, filters, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(filters), nn.ReLU())


def detection_loss(outputs, boxes):
    total = 0.0
    for out in outputs:
        count, _, rows, columns = out.shape
        row = (boxes[:, 0] * rows).long()
        column = (boxes[:, 1] * columns).long()
        at = torch.arange(count)
        target = torch.zeros(count, rows, columns)
        target[at, row, column] = 1
        total = total + functional.binary_cross_entropy_with_logits(out[:, 0], target)
        total = total + functional.l1_loss(out[at, 1:, row, column], boxes)
    return total


def fit(model, handle, loss_of, steps=60, lr=0.01):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        loss = loss_of()
        optimizer.zero_grad()
        (loss + handle.penalty()).backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def entropy(handle) -> float:
    """Bits of all latents by how often each value occurs in its layer: no density flatters it."""
    total = 0.0
    for layer in handle.layers:
        counts = torch.unique(layer.integers(), return_counts=True)[1].double()
        total -= float((counts * (counts / counts.sum()).log2()).sum())
    return total


def test_segmentation_network():
    torch.manual_seed(0)
    images, masks, _ = squares(24)
    model = UNet()
    handle = lilnetx.compress(model, Objective(rate=3.0))
    before = entropy(handle)
    losses = fit(
        model,
        handle,
        lambda: functional.binary_cross_entropy_with_logits(model(images), masks),
    )
    assert losses[-1] < 0.5 * losses[0]
    assert entropy(handle) < 0.9 * before
    with torch.no_grad():
        found = model.eval()(images) > 0
    assert (found == (masks > 0)).float().mean() > 0.9


def test_single_shot_detector_with_two_outputs():
    torch.manual_seed(0)
    images, _, boxes = squares(24)
    model = Detector()
    handle = lilnetx.compress(model, Objective(rate=1.0))
    before = entropy(handle)
    losses = fit(model, handle, lambda: detection_loss(model(images), boxes))
    assert losses[-1] < 0.5 * losses[0]
    assert entropy(handle) < 0.9 * before


def classifier() -> nn.Module:
    torch.manual_seed(0)
    head = (nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4))
    return nn.Sequential(block(1, 8), block(8, 8), *head)


def quarters() -> tuple[torch.Tensor, torch.Tensor]:
    """Images and the quarter that their square's middle lies in."""
    images, _, boxes = squares(64)
    return images, (2 * (boxes[:, 0] > 0.45) + (boxes[:, 1] > 0.45)).long()


@pytest.mark.parametrize("variant", ["bf16", "channels_last"])
def test_reduced_precision_and_layout(variant):
    images, labels = quarters()
    model = classifier()
    handle = lilnetx.compress(model)
    if variant == "channels_last":
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)

    def loss():
        with torch.autocast("cpu", torch.bfloat16, enabled=variant == "bf16"):
            logits = model(images)
        return functional.cross_entropy(logits.float(), labels)

    losses = fit(model, handle, loss)
    assert losses[-1] < 0.6 * losses[0]


def test_a_gradient_scaler_leaves_the_gradients_as_they_are():
    images, labels = quarters()
    gradients = []
    for scaled in (False, True):
        model = classifier()
        handle = lilnetx.compress(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scaler = torch.amp.GradScaler("cpu", enabled=scaled, init_scale=1024.0)
        loss = functional.cross_entropy(model(images), labels) + handle.penalty()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        gradients.append([p.grad for p in model.parameters()])
    for plain, unscaled in zip(*gradients, strict=True):
        torch.testing.assert_close(unscaled, plain, rtol=1e-5, atol=1e-9)


def test_accumulated_gradients_are_those_of_the_whole_batch():
    images, labels = quarters()
    gradients = []
    for parts in (1, 4):
        # No batch norm, whose statistics differ between a batch and its parts.
        torch.manual_seed(1)
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 4))
        handle = lilnetx.compress(model)
        for x, y in zip(images.chunk(parts), labels.chunk(parts), strict=True):
            # The penalty of a step is shared by its parts as the loss is.
            ((functional.cross_entropy(model(x), y) + handle.penalty()) / parts).backward()
        gradients.append([p.grad for p in model.parameters()])
    for whole, summed in zip(*gradients, strict=True):
        torch.testing.assert_close(summed, whole, rtol=1e-3, atol=1e-6)


def test_moving_average_of_the_parameters():
    images, labels = quarters()
    model = classifier()
    handle = lilnetx.compress(model)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(50):
        loss = functional.cross_entropy(model(images), labels) + handle.penalty()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(model)
    averaged = average.module.eval()
    # The average shares no parameter with the model, has one decoder a group, and can be packed.
    decoders = {id(m) for m in averaged.modules() if type(m).__name__ == "LatentDecoder"}
    assert len(decoders) == 2
    ours = {p.data_ptr() for p in model.parameters()}
    assert not any(p.data_ptr() in ours for p in averaged.parameters())
    with torch.no_grad():
        accuracy = (averaged(images).argmax(1) == labels).float().mean()
    assert accuracy > 0.5
    from lilnetx.packing.freeze import freeze

    freeze(averaged, (1, 16, 16))


def test_compiled_model_takes_the_steps_of_the_plain_one():
    images, labels = quarters()
    results = []
    for compiled in (False, True):
        model = classifier()
        handle = lilnetx.compress(model)
        # aot_eager traces and differentiates as inductor does, without compiling C++ code.
        called = torch.compile(model, backend="aot_eager") if compiled else model
        losses = fit(
            model, handle, lambda m=called: functional.cross_entropy(m(images), labels), steps=5
        )
        results.append(losses)
    assert results[1] == pytest.approx(results[0], rel=1e-3)
