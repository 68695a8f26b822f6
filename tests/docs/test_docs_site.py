"""The site builds without a warning, loads nothing from elsewhere, and names all commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import lilnetx
from lilnetx.cli.main import build_parser
from lilnetx.data import normalise

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")
    pytest.importorskip("material", reason="the extra 'docs' is not installed")
    pytest.importorskip("mkdocstrings_handlers.python", reason="the extra 'docs' is not installed")
    pytest.importorskip("torch", reason="the help of 'lilnetx train' needs torch")
    folder = tmp_path_factory.mktemp("site")
    # -P: the package that is tested, which may be an installed one, not the source folder.
    done = subprocess.run(
        [sys.executable, "-P", "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout + done.stderr == ""
    return folder


def test_pages_load_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for tag in ('<script src="http', '<link rel="stylesheet" href="http', '<img src="http'):
            assert tag not in text, page


def test_every_command_is_in_the_reference(site):
    text = (site / "cli.html").read_text(encoding="utf-8")
    actions = build_parser()._subparsers._group_actions
    for name in actions[0].choices:
        assert f"usage: lilnetx {name}" in text


def test_every_public_name_is_in_the_reference(site):
    from lilnetx.packing.trim import trim
    from lilnetx.train.distill import task_loss
    from lilnetx.train.steer import Steering

    text = (site / "api.html").read_text(encoding="utf-8")
    public = [getattr(lilnetx, name) for name in lilnetx.__all__ if name != "__version__"]
    for item in [*public, trim, Steering, task_loss, normalise]:
        assert f'id="{item.__module__}.{item.__qualname__}"' in text


def test_results_that_pages_link_to_are_there(site):
    assert (site / "benchmarks" / "results" / "onnx_nodes.csv").is_file()
    assert (site / "benchmarks" / "plots" / "density.svg").is_file()
