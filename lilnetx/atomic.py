"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lilnetx.arguments import PATH, require_type
from lilnetx.errors import OutputError


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file that takes the place of ``path`` when the block ends without an exception.

    The bytes go to a temporary file in the same folder, which is flushed to the disk and then
    renamed. If the block raises, ``path`` stays as it was and no temporary file is left. A symbolic
    link stays, and what it points to is replaced; a device or pipe is refused, since renaming would
    put a file in its place.

    Args:
        path: The file to write or to replace.

    Yields:
        The temporary file, open for writing.

    Raises:
        OutputError: The file could not be created, written or renamed, or is no regular file; or
            ``path`` is no path.
    """
    require_type(path, PATH, OutputError, "the path of the file to write")
    target = Path(os.path.realpath(path))
    require_regular(target)
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"
        )
        with os.fdopen(descriptor, "wb") as file:
            os.chmod(temporary, _mode_for(target))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        temporary = None
        _sync_folder(target.parent)
    except OSError as error:
        raise OutputError(
            f"{target}: cannot write: {error.strerror or error}; "
            "check that the folder exists, may be written to and has free space"
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def require_regular(path: Path) -> None:
    """Refuse a path that exists and is neither a file nor a folder; OutputError."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OutputError(f"{path}: is a device or a pipe; give the name of a file")


def _mode_for(target: Path) -> int:
    """Permissions of the file to be replaced, or those that a plain ``open`` would give."""
    try:
        return target.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    """Makes the renaming itself durable, where folders can be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
