"""The report in a real browser: figures against ``inspect --json``, sorting, a phone's width."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lilnetx.cli.main import main

BROWSER = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium here (Debian: apt-get install chromium)"
)

# Runs in the page when it is laid out; its result ends up in the document that is printed.
PROBE = """
<script>
addEventListener("load", () => {
  const shown = (what) => [...document.querySelectorAll(what)].map((e) => e.innerText.trim());
  const column = (id, n) =>
    [...document.querySelectorAll(`#${id} tbody tr`)].map((row) => row.cells[n].innerText.trim());
  const tiles = {};
  for (const tile of document.querySelectorAll("[data-figure]"))
    tiles[tile.dataset.figure] = tile.innerText.trim();
  const sections = {};
  for (const cell of document.querySelectorAll("[data-section]"))
    sections[cell.dataset.section] = cell.innerText.trim();
  const unsorted = column("bytes-by-layer", 2);
  const button = document.querySelectorAll("#bytes-by-layer thead th")[2].querySelector("button");
  button.click();
  const sorted = column("bytes-by-layer", 2);
  button.click();
  const upwards = column("bytes-by-layer", 2);
  const seen = {
    tiles, sections, unsorted, sorted, upwards,
    headings: shown("h2"),
    pictures: [...document.images].map((i) => [i.complete, i.naturalWidth, i.naturalHeight]),
    boxes: document.querySelectorAll("svg.network g").length,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    width: innerWidth,
    paper: getComputedStyle(document.body).backgroundColor,
    names: column("all-layers", 0),
  };
  parent.postMessage(JSON.stringify(seen), "*");
});
</script>
"""
# The page is shown in a frame, since Chromium has no window as narrow as a phone.
FRAME = """<!doctype html><body><iframe src="probed.html" width="WIDTH" height="900"></iframe>
<pre id="seen"></pre><script>
addEventListener("message", (e) => { document.getElementById("seen").textContent = e.data; });
</script>
"""


def seen_by_browser(page: Path, folder: Path, width: int, *options: str) -> dict[str, object]:
    probed = folder / "probed.html"
    text = page.read_text(encoding="utf-8")
    probed.write_text(text.replace("</body>", PROBE + "</body>"), encoding="utf-8")
    frame = folder / "frame.html"
    frame.write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={folder / 'profile'}",
            "--virtual-time-budget=5000",
            *options,
            "--dump-dom",
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HOME": str(folder)},
    )
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


@pytest.fixture(scope="module")
def page(synthetic_lnx, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "report.html"
    argv = ["report", str(synthetic_lnx), "-o", str(out), "--seconds", "0.05", "--against", "none"]
    assert main(argv) == 0
    return out


@pytest.fixture(scope="module")
def desktop(page, tmp_path_factory):
    return seen_by_browser(page, tmp_path_factory.mktemp("desktop"), 1280)


@pytest.fixture
def row(synthetic_lnx, capsys):
    assert main(["inspect", str(synthetic_lnx), "--json", "--bytes"]) == 0
    return json.loads(capsys.readouterr().out)


def number(text: str) -> int:
    return int(re.match(r"[\d,]+", text).group().replace(",", ""))


def test_the_figures_shown_are_those_of_inspect(desktop, row):
    tiles = desktop["tiles"]
    assert number(tiles["file_bytes"]) == row["file_bytes"]
    assert number(tiles["dense_fp32_bytes"]) == row["dense_fp32_bytes"]
    assert tiles["ratio"] == f"{row['dense_fp32_bytes'] / row['file_bytes']:.1f} ×"
    for part, whole in (
        ("zero_slices_kxk", "slices_kxk"),
        ("zero_slices_1x1", "slices_1x1"),
        ("macs_left", "macs"),
    ):
        assert tiles[part] == f"{100 * row[part] / row[whole]:.1f} %"
    sections = {name: number(text) for name, text in desktop["sections"].items()}
    assert sections == row["bytes_by_section"]


def test_layers_are_all_there_and_can_be_sorted(desktop, row):
    sizes = [sum(parts.values()) for parts in row["bytes_by_layer"].values()]
    assert [number(text) for text in desktop["unsorted"]] == sizes
    assert [number(text) for text in desktop["sorted"]] == sorted(sizes, reverse=True)
    assert [number(text) for text in desktop["upwards"]] == sorted(sizes)
    assert desktop["headings"] == ["Size", "Computation", "Time", "Slices", "Network"]


def test_pictures_and_drawing_are_shown(desktop, synthetic_lnx):
    from lilnetx.format import inspect_lnx

    pictures = desktop["pictures"]
    assert len(pictures) == len(inspect_lnx(synthetic_lnx).layers)
    assert all(complete and width and height for complete, width, height in pictures)
    assert desktop["boxes"] > 20


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window(page, tmp_path, width, desktop):
    seen = desktop if width == 1280 else seen_by_browser(page, tmp_path, width)
    assert seen["width"] == width
    assert seen["wide"] <= 0


def test_it_follows_a_dark_setting(page, tmp_path, desktop):
    dark = seen_by_browser(
        page, tmp_path, 1280, "--force-dark-mode", "--blink-settings=preferredColorScheme=0"
    )
    assert dark["paper"] != desktop["paper"]
