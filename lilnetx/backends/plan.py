"""The plan of a network on a device, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DeviceStep:
    """One step of the network.

    Attributes:
        name: Name of the node that it computes.
        op: Name of its operator.
        kernel: What computes it: a form of the sparse kernels, or torch.
        shape: Shapes that go in and come out, without the batch.
        density: Share of slices that are not zero, or None where there are none.
        reason: Why this kernel.
    """

    name: str
    op: str
    kernel: str
    shape: str
    density: float | None
    reason: str


@dataclass(frozen=True)
class DevicePlan:
    """All steps of a network for one batch.

    Attributes:
        device: ``"triton"`` or ``"cuda"``.
        steps: In order.
        batch: Images of a call for which it was planned.
    """

    device: str
    steps: tuple[DeviceStep, ...]
    batch: int

    def __str__(self) -> str:
        """A table, one row a step."""
        rows = [("step", "kernel", "shape", "density", "reason")]
        for s in self.steps:
            density = "" if s.density is None else f"{s.density:.3f}"
            rows.append((s.name, s.kernel, s.shape, density, s.reason))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            "  ".join(
                [*(c.ljust(w) for c, w in zip(row[:4], widths, strict=True)), row[4]]
            ).rstrip()
            for row in rows
        ]
        lines.append(f"device {self.device}, {len(self.steps)} steps, batch {self.batch}")
        return "\n".join(lines)


__all__ = ["DevicePlan", "DeviceStep"]
