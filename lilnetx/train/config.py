"""Everything that determines a training run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from lilnetx.errors import UsageError


@dataclass(frozen=True)
class TrainConfig:
    """A run of ``lilnetx train``: with the same values (and torch build), the same result.

    Attributes:
        network: A name of :data:`lilnetx.train.networks.NETWORKS`.
        data: A name of :data:`lilnetx.data.DATASETS`.
        width: Channels of the first stage. Of networks with torchvision's names, 64 (MobileNetV2:
            32) fit its weights, and ``lilnetx train`` takes these.
        epochs: Passes over the training images.
        batch_size: Images in a step.
        learning_rate: Peak, for latents in the scale of weights (dense: for every parameter).
        warmup: Share of the run over which the learning rate rises; it then falls to zero by a
            half cosine.
        rate: Weight of the self-information (see :class:`~lilnetx.train.compress.Objective`).
        slices: Weight of the slice norms.
        slice_norm: 1, 2 or inf.
        concave: Whether slices cost the logarithm of one plus their norm.
        l2: Weight of squared latents.
        cost_weighted: Whether slice norms are weighted by output area.
        sampled_noise: Whether the rate is taken at one random point of the rounding's interval.
        latent_width: Root mean square of the latents at the start.
        start: What to start from: the folder or checkpoint of a run of the same network, best a
            dense one, or a state_dict with torchvision's names (.pth, .pt, .safetensors).
        distill: Share of the loss that is learnt from the answers of the network started from.
        temperature: Of those answers.
        fix_zeros: Share of the run after which zero slices stay zero; 1 for never.
        target_bytes: Size of the packed file to land at or just below, by steering the rate; 0 for
            none.
        target_macs: Multiply-accumulates of one image to land at or just below, by steering the
            weight of the slice norms; 0 for none.
        macs_settled: Share of the run after which target_macs holds and zero slices stay zero; the
            rest recovers accuracy.
        penalty_ramp: Share of the run over which the penalty rises to its full weight; with a
            target, it begins there.
        slice_1x1: Input channels in a slice of 1x1 and linear layers.
        weight_decay: Of biases, batch norm and, in a dense run, weights.
        crop_padding: Pixels of padding for random crops; 0 for none.
        flip: Whether images are mirrored at random.
        image_size: Height and width in pixels that images of a folder are brought to.
        crop_area: Smallest share of an image of a folder that a random crop takes.
        validation: Training images held out for choices.
        train_images: Use only so many of the others, from all over the data set, for quick tries;
            0 for all.
        precision: ``fp32``, or ``bf16`` for convolutions in bfloat16 (autocast), which is faster
            on processors that have it; latents, batch norm and the final figures stay float32.
        dense: Train the network without compression, as a baseline.
        seed: Of initialisation, split, order, augmentation and noise.
    """

    network: str = "resnet20"
    data: str = "fashion-mnist"
    width: int = 16
    epochs: int = 32
    batch_size: int = 128
    learning_rate: float = 0.0015
    warmup: float = 0.1
    rate: float = 0.7
    slices: float = 0.5
    slice_norm: float = 2.0
    concave: bool = False
    l2: float = 0.0
    cost_weighted: bool = True
    sampled_noise: bool = False
    latent_width: float = 3.0
    start: str = ""
    distill: float = 0.0
    temperature: float = 3.0
    fix_zeros: float = 1.0
    target_bytes: int = 0
    target_macs: int = 0
    macs_settled: float = 0.8
    penalty_ramp: float = 0.3
    slice_1x1: int = 1
    weight_decay: float = 0.0
    crop_padding: int = 2
    flip: bool = True
    image_size: int = 224
    crop_area: float = 0.08
    validation: int = 5000
    train_images: int = 0
    precision: str = "fp32"
    dense: bool = False
    seed: int = 0

    def check(self) -> None:
        """Refuse values that cannot work, before anything is made; UsageError names the first."""
        for name, least in (("epochs", 1), ("batch_size", 1), ("width", 1), ("image_size", 8)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} must be at least {least}, not {getattr(self, name)}")
        for name in (
            "rate",
            "slices",
            "l2",
            "weight_decay",
            "crop_padding",
            "seed",
            "target_bytes",
            "target_macs",
            "train_images",
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name} must be a number of at least 0, not {value}")
        for name in ("learning_rate", "latent_width", "temperature"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise UsageError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("distill", "fix_zeros"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must be in [0, 1], not {getattr(self, name)}")
        if self.distill and not self.start:
            raise UsageError("distill needs the network to learn from: give start")
        for target, field in (("target_bytes", "rate"), ("target_macs", "slices")):
            if getattr(self, target) and (self.dense or not getattr(self, field)):
                raise UsageError(f"{target} is reached by steering {field}, which must be above 0")
        for name in ("warmup", "penalty_ramp", "macs_settled"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} must be in [0, 1), not {getattr(self, name)}")
        if not 0 < self.crop_area <= 1:
            raise UsageError(f"crop_area must be in (0, 1], not {self.crop_area}")
        if self.precision not in ("fp32", "bf16"):
            raise UsageError(f"precision must be fp32 or bf16, not {self.precision!r}")

    def as_json(self) -> dict[str, Any]:
        """JSON-able; infinity as a string, since JSON has none."""
        row = asdict(self)
        row["slice_norm"] = str(self.slice_norm)
        return row

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> TrainConfig:
        """The inverse of :meth:`as_json`; TypeError for unknown keys.

        Settings that are younger than a checkpoint have their defaults there.
        """
        return cls(**{**row, "slice_norm": float(row["slice_norm"])})
