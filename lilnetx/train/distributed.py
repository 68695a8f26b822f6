"""Several processes training one model, started by ``torchrun`` or any other launcher.

Each process takes its share of every batch, and gradients are averaged. Two things then differ from
one process with the same batch, and both are put right here: batch norm sees all images of the
batch (:func:`synchronise_batch_norm`, which works on CPU and GPU alike), and the penalty, which
depends on weights alone, is worked out by the first process only
(:meth:`~lilnetx.train.handle.CompressionHandle.penalty`).
"""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from lilnetx.errors import UsageError


def join_processes(device: torch.device) -> tuple[int, int]:
    """Join the group that the launcher made: rank and number of processes; (0, 1) without one.

    Args:
        device: Of this process: processes on GPUs talk by nccl, others by gloo.

    Raises:
        UsageError: The launcher's environment variables are incomplete.
    """
    if dist.is_available() and dist.is_initialized():
        return place_among_processes()
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        return 0, 1
    missing = [n for n in ("RANK", "MASTER_ADDR", "MASTER_PORT") if n not in os.environ]
    if missing:
        raise UsageError(
            f"WORLD_SIZE is set, but not {', '.join(missing)}: start by torchrun --nproc-per-node N"
        )
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return dist.get_rank(), dist.get_world_size()


def place_among_processes() -> tuple[int, int]:
    """Rank and number of the processes that train one model; (0, 1) for one that does so alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def leave_processes() -> None:
    """Leave the group that :func:`join_processes` joined, if any."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose training statistics are those of all processes' images."""

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(N, C, H, W)``, N of this process."""
        if not self.training:
            return super().forward(x)
        values = x.float()
        count = x.new_tensor([x.numel() // x.shape[1]], dtype=torch.float32)
        sums = all_reduce(torch.cat([values.sum((0, 2, 3)), count]))  # type: ignore[no-untyped-call]
        mean, count = sums[:-1] / sums[-1], sums[-1]
        # Of the centred values: the mean of squares less the squared mean cancels in float32.
        values = values - mean.view(1, -1, 1, 1)
        variance = all_reduce(values.square().sum((0, 2, 3))) / count  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self._update_statistics(mean, variance * count / (count - 1))
        scale = torch.rsqrt(variance + self.eps)
        normalised = values * (scale * self.weight if self.affine else scale).view(1, -1, 1, 1)
        if self.affine:
            normalised = normalised + self.bias.view(1, -1, 1, 1)
        out: Tensor = normalised.to(x.dtype)
        return out

    def _update_statistics(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum
        if share is None:
            share = 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def synchronise_batch_norm(model: nn.Module) -> None:
    """Turn every ``BatchNorm2d`` of a model into the synchronised one, in place."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronisedBatchNorm2d


def average(values: list[float]) -> list[float]:
    """The mean of each value over all processes."""
    if not (dist.is_available() and dist.is_initialized()):
        return values
    # nccl takes tensors of the GPU alone.
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    total = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return [float(v) / dist.get_world_size() for v in total]


def wrap_model(model: nn.Module, ranks: int) -> Any:
    """The model as the loop calls it: itself, or in DistributedDataParallel."""
    if ranks == 1:
        return model
    synchronise_batch_norm(model)
    return nn.parallel.DistributedDataParallel(model)
