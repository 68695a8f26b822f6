"""What a terminal shows of a run: a bar while an epoch runs, and a line when it is over."""

from __future__ import annotations

import sys
import time
from typing import Any

from lilnetx.errors import MissingExtraError


class Display:
    """Bars and lines on standard error, or nothing.

    Args:
        shown: Whether to show anything.
        epochs: Of the run.
    """

    def __init__(self, shown: bool, epochs: int) -> None:
        self._shown, self._epochs = shown, epochs
        self._began, self._first = time.monotonic(), 0

    def begin(self, epoch: int) -> None:
        """The run begins, or goes on, with this epoch, counted from 0."""
        self._began, self._first = time.monotonic(), epoch

    def bar(self, title: str, steps: int) -> Any:
        """A progress bar of tqdm; none where standard error is no terminal."""
        try:
            from tqdm import tqdm
        except ImportError as error:
            raise MissingExtraError("tqdm", "train", "training") from error
        return tqdm(
            total=steps, desc=title, unit="step", disable=None if self._shown else True, leave=False
        )

    def epoch(self, row: dict[str, Any]) -> None:
        """The figures of an epoch that is over, as :mod:`.loop` logs them."""
        if not self._shown:
            return
        done = row["epoch"]
        parts = [
            f"epoch {done}/{self._epochs}",
            f"loss {row['loss']:.4f}",
            f"validation {100 * row['validation_top1']:.2f} %",
        ]
        if "macs" in row:
            parts += [
                f"{row['bytes'] / 1000:.1f} kB of latents",
                f"{100 * row['sparsity_kxk']:.1f} % of KxK slices zero",
                f"{100 * row['macs_left'] / max(row['macs'], 1):.1f} % of multiply-adds left",
            ]
        if done < self._epochs:
            each = (time.monotonic() - self._began) / (done - self._first)
            parts.append(f"{_duration(each * (self._epochs - done))} to go")
        print(", ".join(parts), file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
