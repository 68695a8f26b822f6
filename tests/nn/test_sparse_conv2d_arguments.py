"""``SparseConv2d`` takes what ``torch.nn.Conv2d`` takes: all arguments at random."""

from __future__ import annotations

import copy
import io
import random

import pytest
import torch
from tolerances import LAYER
from torch import nn

from lilnetx.nn import SparseConv2d


def arguments(seed: int) -> tuple[tuple[object, ...], dict[str, object], tuple[int, int]]:
    """Positional and named arguments, as ints or pairs, and the size of an image."""
    rng = random.Random(seed)
    groups = rng.choice([1, 1, 2, 3, 6])
    channels, filters = 6, 6 * rng.randint(1, 3)
    kernel = rng.choice([1, 2, 3, 5, (1, 3), (3, 2), (4, 1)])
    taps = (kernel, kernel) if isinstance(kernel, int) else kernel
    stride = rng.choice([1, 1, 2, 3, (1, 2), (2, 1)])
    dilation = rng.choice([1, 1, 2, (1, 3), (2, 1)])
    padding: object = rng.choice([0, 1, 2, (0, 1), (3, 0), "valid", "same"])
    if padding == "same":
        stride = 1
    mode = rng.choice(["zeros", "zeros", "reflect", "replicate", "circular"])
    named = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": rng.random() < 0.7,
        "padding_mode": mode,
    }
    reach = [max(t * 3, 4) for t in taps]
    size = (reach[0] + rng.randint(4, 17), reach[1] + rng.randint(4, 30))
    return (channels, filters, kernel), named, size


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_any_arguments(seed):
    args, named, size = arguments(seed)
    torch.manual_seed(seed)
    conv = nn.Conv2d(*args, **named)
    with torch.no_grad():
        conv.weight.mul_((torch.rand(conv.weight.shape[:2]) < 0.5)[..., None, None])
    sparse = SparseConv2d(*args, **named)
    # The state dict goes there and back.
    sparse.load_state_dict(conv.state_dict())
    again = nn.Conv2d(*args, **named)
    again.load_state_dict(sparse.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(again.parameters(), conv.parameters(), strict=True)
    )
    buffer = io.BytesIO()
    torch.save(sparse, buffer)
    buffer.seek(0)
    forms = [sparse, copy.deepcopy(sparse), torch.load(buffer, weights_only=False)]
    x = torch.randn(2, 6, *size)
    with torch.no_grad():
        for form in forms:
            for image in (x, x[1], x[:0], x.transpose(2, 3).contiguous().transpose(2, 3)):
                actual, expected = form(image), conv(image)
                assert actual.shape == expected.shape
                if expected.numel():
                    error = float((actual - expected).abs().max())
                    assert error <= LAYER["float32"] * max(float(expected.abs().max()), 1e-3)
            assert form.extra_repr() == conv.extra_repr()


def test_wrong_arguments_are_refused_as_in_conv2d():
    for args, named in (
        ((3, 4, 3), {"groups": 2}),
        ((3, 4, 3), {"padding": "same", "stride": 2}),
        ((3, 4, 3), {"padding": "half"}),
        ((3, 4, 3), {"padding_mode": "mirror"}),
    ):
        with pytest.raises(ValueError, match=r".+") as theirs:
            nn.Conv2d(*args, **named)
        with pytest.raises(ValueError, match=r".+") as ours:
            SparseConv2d(*args, **named)
        assert str(ours.value) == str(theirs.value)
