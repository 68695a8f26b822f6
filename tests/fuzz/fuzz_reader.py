"""Fuzzes the whole reader with damaged files whose checksums are right.

    python tests/fuzz/fuzz_reader.py --seconds 600 --output findings

Each finding is kept with its traceback in the output folder. The input under way lies there as
current.lnx, and stays when the process dies of it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from mutate import mutate
from reader_target import good_files, try_file

SLOW_SECONDS = 20.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--inputs", type=int, default=sys.maxsize, help="at most this many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="folder for findings")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "current.lnx"
    rng = random.Random(arguments.seed)
    bases = good_files()
    chances = [1 / len(base) for base in bases]
    counts: Counter[str] = Counter()
    findings: Counter[str] = Counter()
    start = last = time.monotonic()
    while (now := time.monotonic()) - start < arguments.seconds:
        if counts.total() >= arguments.inputs:
            break
        path.write_bytes(mutate(rng.choices(bases, chances)[0], bases, rng))
        try:
            counts["good" if try_file(path) else "refused"] += 1
            trace = ""
        except Exception:
            counts["findings"] += 1
            trace = traceback.format_exc()
        seconds = time.monotonic() - now
        if not trace and seconds > SLOW_SECONDS:
            trace = f"{seconds:.0f} seconds"
        if trace:
            # One file for each place where something goes wrong.
            place = "\n".join(line for line in trace.splitlines() if line.startswith("  File"))
            findings[place] += 1
            if findings[place] == 1:
                name = arguments.output / f"finding{len(findings)}"
                name.with_suffix(".lnx").write_bytes(path.read_bytes())
                name.with_suffix(".txt").write_text(trace)
        if now - last > 30:
            last = now
            print(f"{now - start:.0f} s: {dict(counts)}", flush=True)
    path.unlink(missing_ok=True)
    print(f"{time.monotonic() - start:.0f} s, {counts.total()} inputs: {dict(counts)}")
    for place, count in findings.items():
        print(f"{count} times at\n{place}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
