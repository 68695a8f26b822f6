"""The wrong uses of ``docs/errors.md``: the files that they name, and what each prints.

``python tests/docs/wrong_uses.py`` writes the lines that the commands print now into the page.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import struct
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from lilnetx._core import crc32c
from lilnetx.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "errors.md"
# Damaged copies are of a file whose bytes never change.
GOLDEN = ROOT / "tests" / "format" / "data" / "golden_v3.lnx"

_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_NOBODY = 65534


@dataclass(frozen=True)
class WrongUse:
    """A command, and the lines under it: what it prints."""

    command: str
    printed: tuple[str, ...]


def wrong_uses(page: str) -> list[WrongUse]:
    """All commands of the page."""
    uses: list[WrongUse] = []
    for block in _BLOCK.findall(page):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.splitlines()
            uses.append(WrongUse(command, tuple(line for line in lines if line)))
    return uses


def make_files(folder: Path) -> None:
    """The files that the commands name."""
    import numpy as np
    import onnx
    import torch

    def save(name: str, op: str, *, opset: int = 17, dtype: int = 1, shape=("N", 3, 8, 8)) -> None:
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node(op, ["x"], ["y"], name="first")],
            "model",
            [onnx.helper.make_tensor_value_info("x", dtype, shape)],
            [onnx.ValueInfoProto(name="y")],
        )
        opsets = [onnx.helper.make_opsetid("", opset)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / name)

    save("good.onnx", "Relu")
    save("tanh.onnx", "Tanh")
    save("old.onnx", "Relu", opset=11)
    save("integers.onnx", "Relu", dtype=7)
    save("open-channels.onnx", "Relu", shape=("N", "C", "H", "W"))
    for name in ("notes.onnx", "notes.pt2"):
        (folder / name).write_text("what I wanted to do tomorrow")
    (folder / "model.py").write_text("import torch\n")
    (folder / "cut.onnx").write_bytes((folder / "good.onnx").read_bytes()[:-9])
    torch.save({"weight": torch.zeros(3)}, folder / "weights.pth")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)).eval()
    torch.export.save(torch.export.export(network, (torch.zeros(2, 3, 8, 8),)), folder / "good.pt2")

    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["synth", "resnet20", "--density", "0.2", "-o", str(folder / "good.lnx")]) == 0
    data = GOLDEN.read_bytes()
    (folder / "cut.lnx").write_bytes(data[: len(data) // 2])
    (folder / "empty.lnx").write_bytes(b"")
    flipped = bytearray(data)
    flipped[-1] ^= 16
    (folder / "flipped.lnx").write_bytes(bytes(flipped))
    head = data[:8] + struct.pack("<I", 999) + data[12:60]
    (folder / "newer.lnx").write_bytes(head + struct.pack("<I", crc32c(head)) + data[64:])
    (folder / "alike").mkdir()
    np.save(folder / "alike" / "black.npy", np.zeros((20, 3, 8, 8), np.float32))
    (folder / "folder").mkdir()
    (folder / "locked").mkdir(mode=0o555)
    (folder / "secret.lnx").write_bytes(data)
    (folder / "secret.lnx").chmod(0)


def run(command: str) -> tuple[int, tuple[str, ...]]:
    """Exit code and printed lines of a command, in the current folder."""
    words = shlex.split(command, comments=True)
    assert words[0] == "lilnetx"
    missing = re.search(r"# where (\w+) is not installed", command)
    hidden = {missing[1]: None} if missing else {}
    out = io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(out))
        stack.enter_context(mock.patch.dict(sys.modules, hidden))
        if "one may not" in command:
            stack.enter_context(_as_nobody())
        try:
            code = main(words[1:])
        except SystemExit as stop:
            code = int(stop.code or 0)
    # Where the folder is, and how another package words it, is not what the page is about.
    printed = out.getvalue().replace(f"{Path.cwd()}/", "")
    return code, tuple(re.sub(r"\(Error parsing.*?\)", "(...)", printed).splitlines())


@contextlib.contextmanager
def _as_nobody() -> Iterator[None]:
    """Root may read any file and write to any folder, so root becomes somebody else meanwhile.

    Somebody else may not be able to read the installed modules, so those are imported before.
    """
    with tempfile.TemporaryDirectory() as folder:
        for command in (["pack", "good.onnx", "-o", f"{folder}/m.lnx"], ["inspect", "good.lnx"]):
            with contextlib.redirect_stdout(io.StringIO()):
                assert main(command) == 0
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def prepared_folder() -> Iterator[Path]:
    """A current folder, which anybody may look into, with the files."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        make_files(folder)
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(before)


def updated(page: str) -> str:
    """The page with what the commands print now."""
    with prepared_folder():

        def replaced(match: re.Match[str]) -> str:
            lines = []
            for use in wrong_uses(match.group()):
                _, printed = run(use.command)
                lines += [f"$ {use.command}", *printed, ""]
            return "```console\n" + "\n".join(lines[:-1]) + "\n```"

        return _BLOCK.sub(replaced, page)


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
