"""Small torch networks that together use everything the importer knows."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def conv_bn(channels, filters, kernel=3, stride=1, **more):
    return nn.Sequential(
        nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False, **more),
        nn.BatchNorm2d(filters),
    )


class Plain(nn.Sequential):
    shape = (3, 11, 9)

    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.Conv2d(8, 5, (2, 3), (2, 1)),
            nn.ReLU(),
        )


class BasicBlock(nn.Module):
    def __init__(self, channels, filters, stride):
        super().__init__()
        self.conv1 = conv_bn(channels, filters, 3, stride)
        self.conv2 = conv_bn(filters, filters)
        self.relu = nn.ReLU(inplace=True)  # called twice
        self.downsample = None
        if stride != 1 or channels != filters:
            self.downsample = conv_bn(channels, filters, 1, stride)

    def forward(self, x):
        y = self.conv2(self.relu(self.conv1(x)))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class Bottleneck(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * 4, affine=False)
        self.downsample = conv_bn(channels, width * 4, 1, stride)

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)), inplace=True)
        return functional.relu(torch.add(self.downsample(x), self.bn3(self.conv3(y))))


class ResNet(nn.Module):
    """The forms of ResNet-18 and ResNet-50, small."""

    shape = (3, 35, 41)

    def __init__(self, bottleneck):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        if bottleneck:
            self.layer1 = nn.Sequential(Bottleneck(8, 4, 1), Bottleneck(16, 4, 1))
            self.layer2 = nn.Sequential(Bottleneck(16, 6, 2))
        else:
            self.layer1 = nn.Sequential(BasicBlock(8, 8, 1), BasicBlock(8, 8, 1))
            self.layer2 = nn.Sequential(BasicBlock(8, 24, 2))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(24, 10)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = torch.flatten(self.avgpool(self.layer2(self.layer1(x))), 1)
        return self.fc(x)


class Vgg(nn.Module):
    shape = (1, 28, 28)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            *conv_bn(1, 6), nn.ReLU(True), nn.MaxPool2d(2), *conv_bn(6, 8), nn.ReLU(True),
            nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(2, 2, 1, ceil_mode=True),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d((4, 4))
        self.classifier = nn.Sequential(
            nn.Linear(128, 20), nn.ReLU(True), nn.Dropout(), nn.Linear(20, 7), nn.Softmax(-1)
        )

    def forward(self, x):
        x = self.avgpool(self.features(x))
        return self.classifier(x.view(x.size(0), -1))


class Perceptron(nn.Module):
    shape = (13,)

    def __init__(self):
        super().__init__()
        self.a, self.bn, self.b = nn.Linear(13, 9, bias=False), nn.BatchNorm1d(9), nn.Linear(9, 5)

    def forward(self, x):
        return functional.softmax(self.b(self.bn(self.a(x)).relu()), dim=1)


class Odd(nn.Module):
    """Grouped, depthwise, dilated and rectangular convolutions; several outputs."""

    shape = (6, 14, 15)

    def __init__(self):
        super().__init__()
        self.grouped = nn.Conv2d(6, 9, 3, 2, 1, groups=3)
        self.depthwise = nn.Sequential(
            nn.Conv2d(9, 18, 5, padding="same", groups=9, bias=False),
            nn.Identity(),
            nn.BatchNorm2d(18),
            nn.BatchNorm2d(18),
        )
        self.dilated = nn.Conv2d(18, 4, (3, 2), 1, (2, 1), dilation=(2, 3))
        self.pool = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        self.halve = nn.AdaptiveAvgPool2d((2, 1))

    def forward(self, x):
        y = self.dilated(self.depthwise(self.grouped(x)))
        pooled = self.pool(y).clone().contiguous()
        return pooled, y.mean((2, 3)), self.halve(pooled[:, :, :, :]), x.mean([-1, -2], True)


class Shared(nn.Module):
    """One convolution and one ReLU called three times; a batch norm that follows one call."""

    shape = (4, 6, 6)

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.relu = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()

    def forward(self, x):
        y = self.relu(self.conv(x))
        z = self.relu(self.bn(self.conv(y)))
        return self.relu(self.conv(z) + y + y)


class Activations(nn.Module):
    """Every activation, as a module and as a function."""

    shape = (4, 7, 6)

    def __init__(self):
        super().__init__()
        kinds = [nn.ReLU6(True), nn.Hardswish(), nn.SiLU(), nn.Hardsigmoid(), nn.Sigmoid()]
        self.blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(4, 4, 1), kind) for kind in kinds)
        self.clip = nn.Hardtanh(0.0, 6.0)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        y = functional.hardswish(functional.silu(x))
        y = self.clip(x + y) + torch.clamp(y, 0, 6)
        return functional.hardsigmoid(y), y.clamp(min=0) + functional.relu6(x), y.sigmoid()


class InPlace(nn.Module):
    """A flattened view is changed in place, and with it the value that it is a view of."""

    shape = (2, 5, 5)

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x):
        y = self.conv(x)
        copy = y.clone()
        flat = y.flatten(1)
        flat.relu_()
        return y.flatten(1) + flat, y.flatten(1), copy


NETWORKS = {
    "plain": Plain,
    "resnet-basic": lambda: ResNet(bottleneck=False),
    "resnet-bottleneck": lambda: ResNet(bottleneck=True),
    "vgg": Vgg,
    "perceptron": Perceptron,
    "odd": Odd,
    "shared": Shared,
    "activations": Activations,
}


def build(name, seed=0):
    """The network in eval mode with random batch norms, so that folding is put to the test."""
    torch.manual_seed(seed)
    return randomise(NETWORKS[name]())


def randomise(network):
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 2)
            if module.affine:
                nn.init.uniform_(module.weight, -1.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.3)
    return network.eval()
