"""Training: latents, decoders, density, penalty, and the loop of ``lilnetx train``. Needs torch."""

from lilnetx.errors import MissingExtraError

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise MissingExtraError("torch", "train", "training") from error

from lilnetx.train.compress import compress
from lilnetx.train.handle import CompressionHandle
from lilnetx.train.monitor import Monitor
from lilnetx.train.objective import Objective
from lilnetx.train.report import CompressionReport, LayerCount

__all__ = [
    "CompressionHandle",
    "CompressionReport",
    "LayerCount",
    "Monitor",
    "Objective",
    "compress",
]
