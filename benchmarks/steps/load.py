"""From file to first output, time and peak memory: what ``benchmarks/load.py`` does."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from lilnetx.errors import LilnetxError
from lilnetx.format import write_lnx
from lilnetx.packing import synth
from steps.results import BENCHMARKS, Context

FILE = "load-resnet50"


def run(context: Context) -> str:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.json"
        command = [sys.executable, str(BENCHMARKS / "load.py"), "--json", str(output)]
        if context.quick:
            network = Path(folder) / "quick.lnx"
            write_lnx(synth("resnet20", density=0.2), network)
            command += [str(network), "--rounds", "1"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise LilnetxError(f"load.py failed: {done.stderr.strip()}")
        facts = json.loads(output.read_text(encoding="utf-8"))
    context.write_json(FILE, facts)
    return ", ".join(
        f"{name} {row['first_output_ms']['median']:.0f} ms"
        for name, row in facts["engines"].items()
    )
