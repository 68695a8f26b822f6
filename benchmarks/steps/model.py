"""The shipped model's accuracy and size, by the command line's own commands."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import lilnetx
from lilnetx.bench.run import SHIPPED_MODEL
from lilnetx.cli.main import main
from lilnetx.errors import LilnetxError
from steps.results import Context


def run(context: Context) -> str:
    model = str(Path(lilnetx.__file__).parent / "models" / SHIPPED_MODEL)
    context.progress(0.0, "inspect")
    inspected = _json("inspect", model, "--json")
    # Its full path is this machine's.
    context.write_json("resnet20-inspect", {**inspected, "file": SHIPPED_MODEL})
    if context.quick:
        return f"{inspected['file_bytes']:,} bytes"
    context.progress(0.1, "eval")
    evaluated = _json("eval", model, "--data", "fashion-mnist", "--threads", "1", "--json")
    context.write_json("resnet20-eval", {**evaluated, "file": SHIPPED_MODEL})
    return f"{inspected['file_bytes']:,} bytes, top-1 {100 * evaluated['top1']:.2f} %"


def _json(*arguments: str) -> dict[str, Any]:
    """What a command prints."""
    text, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(errors):
        code = main(arguments)
    if code:
        raise LilnetxError(errors.getvalue().strip())
    result: dict[str, Any] = json.loads(text.getvalue())
    return result
