"""Everything that wants a GPU, within 8 minutes: ``make gpu-check``.

On a machine with a GPU: all tests marked gpu, then benchmarks of single layers and of ResNet-50
against cuDNN, as CSV and JSON. Anywhere else it says what of that was not run, checks as much of
itself as goes without, and succeeds.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gpu import layers, networks, table
from gpu.self_check import self_check
from gpu.timing import Deadline, EventClock

from lilnetx.backends.device import open_device
from lilnetx.bench.machine import describe_machine, installed_versions
from lilnetx.errors import DeviceError, MissingExtraError

ROOT = Path(__file__).resolve().parent.parent
# Of all minutes, what tests and networks may take; layers take what is left.
_TEST_SHARE, _NETWORK_SHARE = 0.35, 0.35


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=8.0, help="time in all (default: 8)")
    parser.add_argument(
        "--results",
        type=Path,
        default=ROOT / "benchmarks" / "results",
        help="folder for gpu-layers and gpu-networks, .csv and .json",
    )
    parser.add_argument(
        "--since", type=float, default=time.time(), help="when the time began (default: now)"
    )
    args = parser.parse_args()
    backends, reasons = usable_backends()
    if not backends:
        return without_gpu(reasons)
    return with_gpu(args, backends, reasons)


def usable_backends() -> tuple[tuple[str, ...], dict[str, str]]:
    """Backends that run on this machine, and why the others do not."""
    backends, reasons = [], {}
    for name in ("triton", "cuda"):
        try:
            if open_device(name).type == "cuda":
                backends.append(name)
            else:
                reasons[name] = "TRITON_INTERPRET=1 is set: the interpreter is not a GPU"
        except (DeviceError, MissingExtraError) as error:
            reasons[name] = str(error)
    return tuple(backends), reasons


def without_gpu(reasons: dict[str, str]) -> int:
    """Says what was not run, and checks what can be checked."""
    for name, reason in reasons.items():
        print(f"{name}: {reason}")
    print("\nNo GPU: nothing below was run.")
    print(f"- tests marked gpu: {count_gpu_tests()}")
    jobs = layers.jobs()
    print(
        f"- single layers of ResNet-50, density {layers.DENSITY}: {len(jobs)} comparisons of "
        "Triton's and CUDA's two forms with cuDNN in two memory orders"
    )
    contenders = networks.jobs(("triton", "cuda"))
    print(f"- ResNet-50 as a whole, {len(contenders)} runs:")
    for job in contenders:
        print(f"    {job}")
    print("- files: gpu-layers.csv, gpu-layers.json, gpu-networks.csv, gpu-networks.json\n")
    with tempfile.TemporaryDirectory() as folder:
        for line in self_check(Path(folder)):
            print(f"checked without a GPU: {line}")
    print("\nNothing was measured.")
    return 0


def with_gpu(args: argparse.Namespace, backends: tuple[str, ...], reasons: dict[str, str]) -> int:
    """Tests, then benchmarks; 1 where a test fails."""
    import torch

    # The build is part of the time; what a slow one leaves is still enough for a look.
    seconds = max(60 * args.minutes - (time.time() - args.since), 30 * args.minutes)
    whole = Deadline(seconds)
    args.results.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda", torch.cuda.current_device())
    passed, tests = run_gpu_tests(_TEST_SHARE * seconds)
    print(f"tests marked gpu: {tests}")
    clock = EventClock()
    facts = {
        "command": shlex.join(["python", "benchmarks/gpu_check.py", *sys.argv[1:]]),
        "device": torch.cuda.get_device_name(device),
        "capability": list(torch.cuda.get_device_capability(device)),
        "backends": list(backends),
        "not_usable": reasons,
        "tests": tests,
        "density": layers.DENSITY,
        "machine": describe_machine(),
        "versions": {**installed_versions(), "cuda": str(torch.version.cuda)},
    }
    network_time = Deadline(min(_NETWORK_SHARE * seconds, whole.left))
    rows, missing = networks.run(clock, backends, device, network_time)
    table.write(args.results, "gpu-networks", rows, {**facts, "not_run": missing})
    for row in rows:
        print(f"{row['contender']}, batch {row['batch']}, {row['precision']}: "
              f"{row['median_ms']:.3f} ms")  # fmt: skip
    rows, not_run = layers.run(clock, backends, device, whole)
    table.write(args.results, "gpu-layers", rows, {**facts, "not_run": not_run})
    print(f"layers: {len(rows)} rows")
    for job in (*missing, *not_run):
        print(f"not run, out of time: {job}")
    return 0 if passed else 1


def run_gpu_tests(seconds: float) -> tuple[bool, str]:
    """Whether all tests marked gpu pass, and pytest's last line."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, f"not done after {seconds:.0f} s"
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-2000:])
    return done.returncode == 0, done.stdout.strip().splitlines()[-1]


def count_gpu_tests() -> str:
    """How many tests are marked gpu, by collecting them."""
    command = ["-m", "pytest", "-q", "--collect-only", "-m", "gpu", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, *command, "tests"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = re.search(r"(\d+)(?:/\d+)? tests? collected", done.stdout)
    return found[1] if found else "not counted, pytest is not installed"


if __name__ == "__main__":
    sys.exit(main())
