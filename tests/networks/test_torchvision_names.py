"""Names and shapes are torchvision's, whose package this project does not depend on.

Counts of parameters and of entries of the state dicts are those of torchvision's documentation and
models; a sample of names stands for all others, which follow the same pattern.
"""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: networks cannot be tested")

import lilnetx  # noqa: E402
from lilnetx import networks  # noqa: E402

NAMES = {
    "resnet18": (11_689_512, 122, {"layer2.0.downsample.1.running_var": (128,)}),
    "resnet34": (21_797_672, 218, {"layer3.5.conv2.weight": (256, 256, 3, 3)}),
    "resnet50": (25_557_032, 320, {"layer4.2.conv3.weight": (2048, 512, 1, 1)}),
    "vgg16_bn": (
        138_365_992,
        97,
        {"features.40.weight": (512, 512, 3, 3), "classifier.6.bias": (1000,)},
    ),
    "mobilenet_v2": (
        3_504_872,
        314,
        {
            "features.1.conv.1.weight": (16, 32, 1, 1),
            "features.2.conv.1.0.weight": (96, 1, 3, 3),
            "features.18.0.weight": (1280, 320, 1, 1),
            "classifier.1.weight": (1000, 1280),
        },
    ),
    "densenet121": (
        7_978_856,
        727,
        {
            "features.denseblock4.denselayer16.conv2.weight": (32, 128, 3, 3),
            "features.transition3.conv.weight": (512, 1024, 1, 1),
            "features.norm5.bias": (1024,),
        },
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_parameters_have_torchvisions_names_and_shapes(name):
    parameters, entries, sample = NAMES[name]
    with torch.device("meta"):
        network = getattr(networks, name)()
    state = network.state_dict()
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert len(state) == entries
    for key, shape in sample.items():
        assert tuple(state[key].shape) == shape


@pytest.mark.parametrize("name", NAMES)
def test_narrow_networks_train_compressed(name):
    torch.manual_seed(0)
    network = getattr(networks, name)(5, in_channels=1, width=8)
    handle = lilnetx.compress(network)
    logits = network(torch.randn(2, 1, 64, 64))
    assert logits.shape == (2, 5)
    (torch.nn.functional.cross_entropy(logits, torch.tensor([1, 3])) + handle.penalty()).backward()
    for layer in handle.layers:
        assert layer.original.grad.isfinite().all()
        assert layer.original.grad.abs().sum() > 0
