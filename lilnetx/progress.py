"""Progress bars where there is a terminal to show them and tqdm to draw them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def progress(items: Iterable[Any], total: int, title: str, unit: str) -> Iterator[Any]:
    """Pass items on, with a progress bar on a terminal where tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield from items
        return
    # disable=None: no bar unless standard error is a terminal.
    yield from tqdm(items, total=total, desc=title, unit=unit, disable=None, leave=False)
