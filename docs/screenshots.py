"""Pictures of the shipped model's report, for the page about reports. Needs Chromium.

python docs/screenshots.py [--no-time]    writes docs/images/report.png and report-phone.png
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lilnetx.cli.main import main as lilnetx

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "lilnetx" / "models" / "resnet20-fashion-mnist.lnx"
IMAGES = ROOT / "docs" / "images"

# Name, window, and the frame of a phone's page, since Chromium has no window as narrow.
PICTURES = (
    ("report", (1200, 1500), None),
    ("report-phone", (500, 1000), (390, 960)),
)


def main() -> int:
    """Make the report and take the pictures."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("no Chromium here", file=sys.stderr)
        return 2
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        page = folder / "report.html"
        if lilnetx(["report", str(MODEL), "-o", str(page), *sys.argv[1:]]):
            return 2
        if "not worth quoting" in page.read_text(encoding="utf-8"):
            print("other processes took the core while times were measured: try again")
            return 2
        for picture, (width, height), frame in PICTURES:
            shown = page
            if frame is not None:
                shown = folder / "frame.html"
                shown.write_text(
                    '<body style="margin:20px 55px;background:#d7dce0;overflow:hidden"><iframe '
                    f'src="report.html" width="{frame[0]}" height="{frame[1]}" '
                    'style="border:0;border-radius:18px"></iframe>',
                    encoding="utf-8",
                )
            command = [
                browser,
                "--headless",
                "--no-sandbox",
                "--hide-scrollbars",
                f"--user-data-dir={folder / 'profile'}",
                f"--window-size={width},{height}",
                f"--screenshot={IMAGES / picture}.png",
                shown.as_uri(),
            ]
            subprocess.run(command, check=True, capture_output=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
