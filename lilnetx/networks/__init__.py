"""Networks for images of ImageNet's size, with torchvision's parameter names. Needs torch.

A state dict of torchvision's model of the same name loads as it is (U-Net and the detector are not
torchvision's). ``width`` scales all channels;
its default is the original's.
"""

from lilnetx.errors import MissingExtraError

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise MissingExtraError("torch", "train", "training") from error

from lilnetx.networks.densenet import densenet121
from lilnetx.networks.googlenet import googlenet
from lilnetx.networks.mobilenet import mobilenet_v2
from lilnetx.networks.resnet import resnet18, resnet34, resnet50
from lilnetx.networks.squeezenet import squeezenet1_1
from lilnetx.networks.ssd import ssd
from lilnetx.networks.unet import unet
from lilnetx.networks.vgg import vgg16_bn

__all__ = [
    "densenet121",
    "googlenet",
    "mobilenet_v2",
    "resnet18",
    "resnet34",
    "resnet50",
    "squeezenet1_1",
    "ssd",
    "unet",
    "vgg16_bn",
]
