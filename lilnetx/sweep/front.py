"""The results of a sweep, and which of them no other one is better than in everything."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from lilnetx.atomic import atomic_write
from lilnetx.sweep.space import Value


@dataclass(frozen=True)
class Outcome:
    """A finished trial.

    Attributes:
        slot: Its place in the sweep.
        values: The settings that the sweep varies.
        validation_top1: Accuracy on held-out training images, the one that counts here.
        bytes: The packed file.
        macs_left: Multiply-accumulates of one image.
        macs: Those of the dense network.
        sparsity_kxk: Share of zero slices among KxK slices, K > 1.
        sparsity_1x1: Share of zero slices of 1x1 and linear layers.
        test_top1: Accuracy on test images, for the record: nothing is chosen by it.
        seconds: Time that the trial took, from its last start.
        folder: Of its run: checkpoint, log, packed file.
    """

    slot: int
    values: dict[str, Value] = field(hash=False)
    validation_top1: float
    bytes: int
    macs_left: int
    macs: int
    sparsity_kxk: float
    sparsity_1x1: float
    test_top1: float
    seconds: float
    folder: str

    def costs(self) -> tuple[float, float, float]:
        """What is to be small: errors on validation images, bytes, multiply-accumulates."""
        return (-self.validation_top1, self.bytes, self.macs_left)


def pareto_front(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Outcomes that no other one beats: as good in accuracy, bytes and computation, better in one.

    Returns:
        By falling bytes. Of equal outcomes, the first.
    """
    front = []
    for index, mine in enumerate(outcomes):
        beaten = any(
            all(a <= b for a, b in zip(other.costs(), mine.costs(), strict=True))
            and (other.costs() != mine.costs() or place < index)
            for place, other in enumerate(outcomes)
            if place != index
        )
        if not beaten:
            front.append(mine)
    return sorted(front, key=lambda o: (-o.bytes, o.slot))


def write_csv(path: str | os.PathLike[str], outcomes: Sequence[Outcome]) -> None:
    """One row for each outcome, atomically; OutputError when it cannot be written."""
    names = list(outcomes[0].values) if outcomes else []
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    columns = ("validation_top1", "bytes", "macs_left", "macs", "sparsity_kxk", "sparsity_1x1")
    record = ("test_top1", "seconds", "folder")
    writer.writerow(["trial", *names, *columns, *record])
    for row in outcomes:
        told = (getattr(row, name) for name in (*columns, *record))
        writer.writerow([row.slot, *(row.values[name] for name in names), *told])
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


__all__ = ["Outcome", "pareto_front", "write_csv"]
