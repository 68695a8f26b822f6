"""Runs the code blocks of a page of the documentation, in order, in one folder."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lilnetx.cli import bench
from lilnetx.cli.main import main

_BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"python", "sh", "console", "text"}

# What makes commands of the documentation short enough for a test, behind their own options.
SMALLER = {
    "train": "--epochs 1 --width 4 --validation 200 --batch-size 50 --quiet",
    "sweep": "--trials 1 --epochs 1 --width 4 --validation 200 --batch-size 50 --quiet",
    "bench": "--seconds 0.05 --against none",
    "report": "--seconds 0.05 --against none",
}
# Of these, data sets have a place of their own in the tests.
WITH_DATA = {"train", "sweep", "eval"}


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        language: As the fence names it; "" for none.
        code: Its lines.
        line: Number of its first line in the page.
    """

    language: str
    code: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    """All blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(match[2], match[3], text.count("\n", 0, match.start(3)) + 1)
        for match in _BLOCK.finditer(text)
    ]


def commands_of(code: str) -> list[list[str]]:
    """The commands of a shell block; comments and remarks in brackets at the end are dropped."""
    joined = code.replace("\\\n", " ")
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


def run_command(words: list[str], data: Path) -> None:
    """Run ``lilnetx ...`` as a shell would, made small; anything else is an error."""
    program, *argv = words
    if program == "lilnetx-bench":
        assert bench.main([*argv, *SMALLER["bench"].split()]) == 0, words
        return
    assert program == "lilnetx", f"{program}: not a command that the tests can run"
    extra = SMALLER.get(argv[0], "").split()
    if argv[0] in WITH_DATA:
        extra += ["--data-root", str(data)]
    assert main([*argv, *extra]) == 0, words


def run_python(block: Block, page: Path, names: dict[str, Any]) -> None:
    """Run a Python block; a failure names the line of the page."""
    code = "\n" * (block.line - 1) + block.code
    exec(compile(code, str(page), "exec"), names)
