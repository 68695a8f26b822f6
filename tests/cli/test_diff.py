from __future__ import annotations

import json

import pytest

from lilnetx.cli.main import main
from lilnetx.format import read_lnx


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    paths = [str(folder / f"{name}.lnx") for name in "ab"]
    for density, path in zip(("0.2", "0.1"), paths, strict=True):
        main(["synth", "resnet20", "--density", density, "--seed", "1", "-o", path])
    return paths


def test_equal_files(pair, capsys):
    capsys.readouterr()
    assert main(["diff", pair[0], pair[0]]) == 0
    out = capsys.readouterr().out
    assert "the same" in out
    assert "section" not in out
    assert main(["diff", pair[0], pair[0], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["equal"] is True


def test_different_files(pair, capsys):
    capsys.readouterr()
    assert main(["diff", *pair]) == 1
    out = capsys.readouterr().out
    for node in read_lnx(pair[0]).nodes:
        assert (node.weight is None) or node.name in out
    assert "LATS" in out
    assert "total" in out
    assert main(["diff", *pair, "--json"]) == 1
    row = json.loads(capsys.readouterr().out)
    assert row["equal"] is False
    assert row["nodes"] == {}
    assert row["file_bytes"][0] > row["file_bytes"][1]
    sizes = row["bytes_by_section"].values()
    assert [sum(pair[i] for pair in sizes) for i in range(2)] == row["file_bytes"]
    assert all(weight["zero_slices"][1] >= weight["zero_slices"][0] for weight in row["weights"])


def test_errors_are_another_code(pair, tmp_path, capsys):
    (tmp_path / "bad.lnx").write_bytes(b"nothing")
    for arguments in ((pair[0], "missing.lnx"), (str(tmp_path / "bad.lnx"), pair[0])):
        assert main(["diff", *arguments]) == 2
    assert capsys.readouterr().out == ""
