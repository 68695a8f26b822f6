"""Measures everything that the documentation quotes: ``make bench``.

Each step runs in a process of its own, pinned to cores, and writes its files when it is done; a
step that fails is reported and does not stop the others. benchmarks/README.md says what each does.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path

from steps import STEPS, Context
from steps.results import fingerprint, is_fresh

from lilnetx.errors import LilnetxError

ROOT = Path(__file__).resolve().parent.parent
_MARK = "@progress "  # a step's line that says how far it is


def main() -> int:
    args = parse_arguments()
    asked = sys.argv[1:] if args.recorded is None else args.recorded
    command = shlex.join(["python", "benchmarks/run.py", *asked])
    if args.inside is not None:
        return run_inside(args, command)
    names = list(STEPS) if args.only is None else args.only
    failed = []
    with (
        Bar(sum(STEPS[name].seconds for name in names)) as bar,
        # What earlier sessions of this user measured must not choose kernels here.
        tempfile.TemporaryDirectory() as cache,
    ):
        for name in names:
            step = STEPS[name]
            bar.set_description_str(f"{name:<14}")
            if args.resume and all(
                is_fresh(args.results / f"{file}.json", fingerprint()) for file in step.files
            ):
                bar.write(f"{name}: measured before by this code")
                bar.update(step.seconds)
                continue
            if len(args.cores) < step.cores:
                bar.write(f"{name}: left out, it needs {step.cores} cores (--cores)")
                bar.update(step.seconds)
                continue
            if not run_step(name, args, bar, cache):
                failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}; all other results are written", file=sys.stderr)
    return 1 if failed else 0


def parse_arguments() -> argparse.Namespace:
    def steps(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in STEPS]
        if unknown:
            known = ", ".join(STEPS)
            raise argparse.ArgumentTypeError(f"unknown step {unknown[0]!r}; there are: {known}")
        return names

    def cores(text: str) -> tuple[int, ...]:
        try:
            chosen = tuple(int(core) for core in text.split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected core numbers, found {text!r}") from None
        allowed = sorted(os.sched_getaffinity(0))
        if not set(chosen) <= set(allowed):
            raise argparse.ArgumentTypeError(f"{text}: this process may use {allowed}")
        return chosen

    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--only", type=steps, metavar="A,B", help=f"some of: {', '.join(STEPS)}")
    parser.add_argument(
        "--cores",
        type=cores,
        default=tuple(sorted(os.sched_getaffinity(0))[:2]),
        metavar="A,B",
        help="one-thread steps stay on the first, others use all (default: the first two)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="leave out steps whose results this very code has written",
    )
    parser.add_argument(
        "--tune",
        action="store_true",
        help="choose kernels by measuring (Session(tune=True)), not by rules alone",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="tiny networks for a moment each: shows that all works, its numbers mean nothing",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=ROOT / "benchmarks" / "results",
        metavar="DIR",
        help="where files go (default: benchmarks/results)",
    )
    # How a step's own process is started.
    parser.add_argument("--inside", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--recorded", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.results = args.results.resolve()
    if args.quick and args.results == ROOT / "benchmarks" / "results":
        parser.error("--quick measures nothing worth keeping: name another folder with --results")
    args.results.mkdir(parents=True, exist_ok=True)
    return args


def run_step(name: str, args: argparse.Namespace, bar: Bar, cache: str) -> bool:
    """Runs a step in a process of its own and follows its progress; whether it succeeded."""
    step = STEPS[name]
    cores = args.cores[: step.cores]
    child = [sys.executable, __file__, "--inside", name, "--results", str(args.results)]
    child += ["--cores", ",".join(map(str, cores)), *(["--quick"] if args.quick else [])]
    child += ["--tune"] if args.tune else []
    child += ["--recorded", *sys.argv[1:]]
    # Steps choose threads themselves; libraries that start more in advance would disturb.
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(len(cores)),
        "XDG_CACHE_HOME": cache,
    }
    tail: deque[str] = deque(maxlen=30)
    done = 0.0
    with subprocess.Popen(
        child, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith(_MARK):
                tail.append(line)
                continue
            share, _, what = line.removeprefix(_MARK).strip().partition(" ")
            bar.set_postfix_str(what)
            bar.update(max(0.0, float(share) * step.seconds - done))
            done = max(done, float(share) * step.seconds)
    bar.set_postfix_str("")
    bar.update(step.seconds - done)
    if process.returncode:
        bar.write(f"{name}: failed\n{''.join(tail)}")
        return False
    bar.write(f"{name}: {tail[-1].strip() if tail else 'done'}")
    return True


def run_inside(args: argparse.Namespace, command: str) -> int:
    """The step's own process."""
    os.sched_setaffinity(0, args.cores)

    def report(share: float, what: str) -> None:
        print(f"{_MARK}{share:.3f} {what}", flush=True)

    try:
        summary = STEPS[args.inside].run(
            Context(args.results, args.quick, args.tune, args.cores, command, report)
        )
    except LilnetxError as error:
        print(error)
        return 1
    print(summary)
    return 0


class Bar:
    """A progress bar in seconds of the whole, or plain lines where tqdm is not installed."""

    def __init__(self, total: float) -> None:
        try:
            from tqdm import tqdm
        except ImportError:
            self._bar = None
        else:
            layout = "{desc} {bar} {percentage:3.0f} % [{elapsed}, {remaining} left] {postfix}"
            # disable=None: no bar unless standard error is a terminal.
            self._bar = tqdm(total=total, bar_format=layout, disable=None)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def set_description_str(self, text: str) -> None:
        if self._bar is not None:
            self._bar.set_description_str(text)

    def set_postfix_str(self, text: str) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(text)

    def update(self, seconds: float) -> None:
        if self._bar is not None:
            self._bar.update(seconds)

    def write(self, text: str) -> None:
        if self._bar is None:
            print(text, flush=True)
        else:
            self._bar.write(text)
            sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
