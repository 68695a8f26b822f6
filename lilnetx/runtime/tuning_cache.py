"""What was measured for later sessions: small JSON files in the user's cache folder.

There is one for each processor model and build of the library, so that a home folder may be shared.
"""

from __future__ import annotations

import functools
import json
import os
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lilnetx import __version__, _core
from lilnetx.atomic import atomic_write
from lilnetx.errors import OutputError
from lilnetx.machine import cpu_model

_FORMAT = 1


@dataclass(frozen=True)
class Finding:
    """The result of measuring a layer.

    Attributes:
        variant: Kernel and tile that were best.
        ms: Their time, in milliseconds.
        rule_ms: Time of what the rules chose.
        tried: How many were measured.
    """

    variant: str
    ms: float
    rule_ms: float
    tried: int


class TuningCache:
    """Findings of this machine and this build of the library.

    The file is read now; one that is damaged is ignored with a warning, and replaced at the next
    update.
    """

    def __init__(self) -> None:
        self._path = cache_path()
        self._findings = _read(self._path)

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self._findings)

    def get(self, layer: str) -> Finding | None:
        """What was found for a layer, see :func:`.tuning.layer_key`."""
        return self._findings.get(layer)

    def update(self, findings: Mapping[str, Finding]) -> None:
        """Adds findings and writes the file; a warning if it cannot be written."""
        if not findings:
            return
        # Another process may have written since.
        self._findings = {**_read(self._path), **findings}
        layers = {key: asdict(finding) for key, finding in sorted(self._findings.items())}
        content = {"format": _FORMAT, "machine": _machine(), "layers": layers}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._path) as file:
                file.write(json.dumps(content, indent=1).encode() + b"\n")
        except (OSError, OutputError) as error:
            warnings.warn(
                f"{self._path}: cannot write what was measured ({error}); later sessions will not "
                "know of it",
                RuntimeWarning,
                stacklevel=4,
            )


def cache_path() -> Path:
    """``lilnetx/tuning-*.json`` in ``XDG_CACHE_HOME``, or else in ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # By the rules of XDG, a relative path is to be ignored.
    folder = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    identity = zlib.crc32(json.dumps(_machine()).encode())
    return folder / "lilnetx" / f"tuning-{identity:08x}.json"


@functools.cache
def _machine() -> dict[str, str]:
    """What findings are true of, besides the layer."""
    build = _core.crc32c(Path(_core.__file__).read_bytes())
    return {"cpu": cpu_model(), "lilnetx": __version__, "build": f"{build:08x}"}


def _read(path: Path) -> dict[str, Finding]:
    """Findings of a file; none if it is missing, damaged, or of another machine or version."""
    try:
        text = path.read_bytes()
    except OSError:
        return {}
    try:
        content = json.loads(text)
        if content["format"] != _FORMAT or content["machine"] != _machine():
            return {}
        return {key: _finding(fields) for key, fields in content["layers"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        warnings.warn(
            f"{path}: the record of measured kernels is damaged and is ignored; measuring again "
            "(tune=True) or deleting the file helps",
            RuntimeWarning,
            stacklevel=5,
        )
        return {}


def _finding(fields: Mapping[str, Any]) -> Finding:
    return Finding(
        str(fields["variant"]), float(fields["ms"]), float(fields["rule_ms"]), int(fields["tried"])
    )
