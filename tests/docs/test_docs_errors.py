"""``docs/errors.md`` tells what each wrong use prints: one line, without a traceback, code 2."""

from __future__ import annotations

import pytest

pytest.importorskip("onnx", reason="wrong uses are of ONNX models")
pytest.importorskip("torch", reason="wrong uses are of torch's files")

from wrong_uses import PAGE, prepared_folder, run, wrong_uses

USES = wrong_uses(PAGE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder():
    with prepared_folder() as made:
        yield made


def test_there_are_enough_of_them():
    assert len(USES) >= 10
    assert {use.command.split()[1] for use in USES} >= {"check", "pack", "report"}


@pytest.mark.parametrize("use", USES, ids=[use.command for use in USES])
def test_prints_what_the_page_says(use, folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    code, printed = run(use.command)
    assert printed == use.printed
    unsupported = use.command == "lilnetx check tanh.onnx"
    assert code == (1 if unsupported else 2)
    if not unsupported:
        assert len(printed) == 1
        assert printed[0].startswith("lilnetx: error: ")
    assert not any("Traceback" in line for line in printed)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
