"""What the subcommands share: their parser, the mapping of errors to exit codes, progress."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from lilnetx.atomic import require_regular
from lilnetx.errors import LilnetxError, MissingExtraError, OutputError, UsageError

EXIT_OK = 0
EXIT_DIFFERENT = 1  # as diff and check report it
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it

Options = Callable[[argparse.ArgumentParser], None]

_BAR_WIDTH = 30  # characters


class CommandParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and whose options may be declared late.

    Args:
        options: Declares the options when they are first needed, for commands whose options come
            from a module that is slow to import.
        **kwargs: As for :class:`argparse.ArgumentParser`.
    """

    def __init__(self, *, options: Options | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(**kwargs)
        self._late_options = options

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As in argparse, after declaring late options."""
        self.declare_late_options()
        return super().parse_known_args(args, namespace)

    def declare_late_options(self) -> None:
        """Declare them now, where something else than parsing needs them."""
        if self._late_options is not None:
            declare, self._late_options = self._late_options, None
            declare(self)

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with code 2."""
        print_error(f"{message} (try '{self.prog} --help')", self.prog.split()[0])
        raise SystemExit(EXIT_ERROR)


def print_error(message: object, prog: str) -> None:
    """One line on standard error, whatever newlines the message holds."""
    print(f"{prog}: error: {' '.join(str(message).split())}", file=sys.stderr)


def run_guarded(run: Callable[[], int], prog: str) -> int:
    """Run a command; errors become one line on standard error and an exit code.

    Returns:
        The command's code; 2 after an error that lilnetx or the system explains; 130 after
        Ctrl-C; 1 when standard output was closed by its reader, as ``| head`` does.
    """
    try:
        code = run()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The interpreter flushes standard output once more at exit: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (LilnetxError, OSError) as error:
        print_error(error, prog)
        return EXIT_ERROR
    except MemoryError:
        print_error("out of memory: try a smaller batch or network", prog)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def require_folder_of(path: Path) -> None:
    """Fail before long work, not after it, when the output's folder is missing; OutputError."""
    if not path.parent.is_dir():
        raise OutputError(f"{path}: folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give a file name")
    require_regular(path)


def require_other_file(source: Path, output: Path) -> None:
    """Fail when writing the output would destroy the input; UsageError."""
    if source.exists() and output.exists() and output.samefile(source):
        raise UsageError(f"{output}: is the input as well; give another file name")


def progress_bar(total: int, title: str, unit: str) -> Any:
    """A bar to update by hand: a context manager with ``n`` and ``update(more)``."""
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise MissingExtraError("tqdm", "train", "training") from error
    return tqdm(total=total, desc=title, unit=unit, disable=None, leave=False)


@contextlib.contextmanager
def stage_bar(title: str) -> Iterator[Callable[[str, float], None]]:
    """A bar on a terminal that shows what is being done and how much of everything is done.

    It needs no package, for commands that need numpy alone.

    Args:
        title: Stands before the bar.

    Yields:
        Takes the name of the stage and how much of everything is done, 0 to 1.
    """
    if not sys.stderr.isatty():
        yield lambda stage, done: None
        return

    def show(stage: str, done: float) -> None:
        full = round(_BAR_WIDTH * done)
        bar = "#" * full + "." * (_BAR_WIDTH - full)
        print(f"\r\x1b[K{title} [{bar}] {done:4.0%}  {stage}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Meanwhile, warnings are one line each on standard error, without the code they come from."""

    def show(message: Warning | str, *where: object, **more: object) -> None:
        print(f"lilnetx: warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def engine_names(text: str) -> tuple[str, ...]:
    """An argparse type: names of dense engines with commas between them; ``none`` is no name."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    return () if names == ("none",) else names


def positive_int(text: str) -> int:
    """An argparse type: an integer of at least 1."""
    value = _whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None


def nonnegative_int(text: str) -> int:
    """An argparse type: an integer of at least 0."""
    value = _whole(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, not {value}")
    return value


def positive_float(text: str) -> float:
    """An argparse type: a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}") from None
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"must be a finite number above 0, not {text}")
    return value


def add_threads(parser: argparse.ArgumentParser, default: int | None = None) -> None:
    """The option ``--threads``; without it, ``default`` or all cores."""
    parser.add_argument(
        "--threads",
        type=positive_int,
        default=default,
        metavar="N",
        help=f"threads to use (default: {default or 'all cores'})",
    )


def add_data_root(parser: argparse.ArgumentParser) -> None:
    """The option ``--data-root``."""
    parser.add_argument(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="folder that holds the data set's files (default: $LILNETX_DATA, ~/.cache/lilnetx, "
        "/usr/share/datasets)",
    )
