from __future__ import annotations

import os
import stat

import pytest
from graphs import small_graph

from lilnetx.atomic import atomic_write
from lilnetx.errors import OutputError
from lilnetx.format import write_lnx


def test_a_finished_write_replaces_the_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write_half():
        with atomic_write(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    def fail(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "net.lnx"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OutputError, match=r"net\.lnx.*No space left"):
        write_lnx(small_graph(), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["net.lnx"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"nowhere.*No such file"):
        write_lnx(small_graph(), tmp_path / "nowhere" / "net.lnx")


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "net.lnx").mkdir()
    with pytest.raises(OutputError, match="directory"):
        write_lnx(small_graph(), tmp_path / "net.lnx")
    assert os.listdir(tmp_path) == ["net.lnx"]


def test_permissions_are_those_of_a_plain_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_lnx(small_graph(), tmp_path / "net.lnx")
    assert mode(tmp_path / "net.lnx") == mode(tmp_path / "plain")
    (tmp_path / "net.lnx").chmod(0o640)
    write_lnx(small_graph(), tmp_path / "net.lnx")
    assert mode(tmp_path / "net.lnx") == 0o640


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_links_stay_and_what_they_point_to_is_replaced(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_pipes_are_refused_and_stay(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="device or a pipe"), atomic_write(pipe) as file:
        file.write(b"new")
    assert pipe.is_fifo()
