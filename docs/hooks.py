"""Hooks of the documentation's build.

Texts that live beside the code they describe become pages of the site, results and plots become
its files, and two kinds of markers are replaced: ``<!-- insert: figures -->`` by the README's
tables, which ``benchmarks/readme.py`` makes from the committed results, and
``<!-- insert: help -->`` by what ``--help`` of every command prints.
"""

from __future__ import annotations

import argparse
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent

# Page of the site -> file of the repository.
PAGES = {
    "format.md": "lilnetx/format/SPEC.md",
    "kernels/cpu.md": "csrc/cpu/README.md",
    "kernels/triton.md": "kernels/README.md",
    "kernels/cuda.md": "csrc/cuda/README.md",
    "benchmarks/README.md": "benchmarks/README.md",
    "model-card.md": "lilnetx/models/README.md",
    "changelog.md": "CHANGELOG.md",
}
# Files that pages link to, at the same place in the site as in the repository.
DATA = ("benchmarks/results/**/*", "benchmarks/plots/*.svg")

_FIGURES = re.compile(r"<!-- figures: .*?-->\n(.*?)<!-- end of figures -->", re.DOTALL)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
# Cross references of docstrings, as they come out of the Markdown that is made of them.
_ROLE = re.compile(r":(?:class|meth|func|mod|attr|data|exc):<code>[~.]?([^<]*)</code>")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies outside of the folder of pages."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for pattern in DATA:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            if path.is_file() and path.suffix != ".md":
                files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace markers, then make links of the repository links of the site."""
    here = page.file.src_uri
    source = PAGES.get(here, f"docs/{here}")
    if "<!-- insert: figures -->" in markdown:
        found = _FIGURES.search((ROOT / "README.md").read_text(encoding="utf-8"))
        assert found is not None
        figures = _relinked(found.group(1), "README.md", here, files)
        markdown = _relinked(markdown, source, here, files)
        return markdown.replace("<!-- insert: figures -->", figures)
    markdown = markdown.replace("<!-- insert: help -->", _help())
    return _relinked(markdown, source, here, files)


def on_page_content(html: str, **kwargs: Any) -> str:
    """Show cross references of docstrings as code."""
    return _ROLE.sub(lambda match: f"<code>{match[1].rpartition('.')[2]}</code>", html)


def _relinked(markdown: str, source: str, here: str, files: Files) -> str:
    """Links of a repository's file as links of a page; code and folders are named, not linked."""
    pages = {path: page for page, path in PAGES.items()}

    def replaced(match: re.Match[str]) -> str:
        mark, label, target, anchor = match.groups()
        if re.match(r"[a-z]+:", target):
            return match.group()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        name = pages.get(path, path.removeprefix("docs/"))
        if files.get_file_from_path(name) is not None:
            link = os.path.relpath(name, posixpath.dirname(here) or ".")
            return f"{mark}[{label}]({link}{anchor or ''})"
        if not (ROOT / path).exists():
            return match.group()  # the build reports it
        return label

    return _LINK.sub(replaced, markdown)


def _help() -> str:
    """The help of all commands, as a section each."""
    from lilnetx.cli.main import build_parser

    os.environ["COLUMNS"] = "84"  # as wide as a page
    parser = build_parser()
    parts = [f"```text\n{parser.format_help()}```\n"]
    (commands,) = (
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    for name, command in commands.choices.items():
        command.declare_late_options()
        parts.append(f"## lilnetx {name}\n\n```text\n{command.format_help()}```\n")
    return "\n".join(parts)
