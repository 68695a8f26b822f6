"""``lilnetx report``: the page holds the file's figures, and nothing from anywhere else."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from lilnetx.cli.main import main
from lilnetx.format import read_lnx, write_lnx
from lilnetx.graph.cost import layer_stats

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Figures by their attributes, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.figures: dict[str, float] = {}
        self.ids: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.attributes.append((tag, values))
        if "id" in values:
            self.ids.append(values["id"])
        if "data-figure" in values:
            self.figures[values["data-figure"]] = float(values["data-value"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [values for name, values in self.attributes if name == tag]


def report(path, out, capsys, *options):
    assert main(["report", str(path), "-o", str(out), *options]) == 0
    capsys.readouterr()
    return out.read_text(encoding="utf-8")


def inspected(path, capsys):
    assert main(["inspect", str(path), "--json", "--bytes"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def timed(synthetic_lnx, tmp_path_factory):
    """A page with times; only that they are there is tested."""
    out = tmp_path_factory.mktemp("report") / "report.html"
    argv = ["report", str(synthetic_lnx), "-o", str(out), "--seconds", "0.05", "--against", "none"]
    assert main(argv) == 0
    return out.read_text(encoding="utf-8")


def test_tiles_are_the_figures_of_inspect(timed, synthetic_lnx, capsys):
    row = inspected(synthetic_lnx, capsys)
    figures = Page(timed).figures
    assert figures.pop("median_ms") > 0
    assert figures.pop("ratio") == pytest.approx(row["dense_fp32_bytes"] / row["file_bytes"])
    assert figures.pop("bits") == pytest.approx(8 * row["file_bytes"] / row["parameters"])
    assert figures == {name: row[name] for name in figures}
    assert set(figures) == {
        "file_bytes",
        "dense_fp32_bytes",
        "zero_slices_kxk",
        "zero_slices_1x1",
        "macs_left",
    }


def test_the_embedded_json_is_that_of_inspect(timed, synthetic_lnx, capsys):
    data = re.search(r'<script type="application/json" id="figures">(.*?)</script>', timed).group(1)
    assert json.loads(data) == inspected(synthetic_lnx, capsys)


def test_every_section_and_layer_has_its_bytes(timed, synthetic_lnx, capsys):
    row = inspected(synthetic_lnx, capsys)
    sections = dict(re.findall(r'data-section="(\w+)" data-value="(\d+)"', timed))
    assert {name: int(size) for name, size in sections.items()} == row["bytes_by_section"]
    sizes = [int(size) for size in re.findall(r'data-layer-bytes="(\d+)"', timed)]
    assert sizes == [sum(parts.values()) for parts in row["bytes_by_layer"].values()]


def test_nothing_comes_from_anywhere_else(timed):
    page = Page(timed)
    for _, values in page.attributes:
        for name in ("src", "href", "srcset", "poster", "data", "action"):
            value = values.get(name)
            assert value is None or value.startswith(("#", "data:image/png;base64,"))
    urls = set(re.findall(r"https?://[^\s\"'<>]+", timed))
    assert urls <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in timed
    assert "url(" not in timed
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'")


def test_it_can_be_read_without_seeing_it(timed):
    page = Page(timed)
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.ids) == len(set(page.ids))
    assert all(len(image["alt"]) > 20 for image in page.all("img"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in values for values in page.all("th"))
    for anchor in page.all("a"):
        assert anchor["href"][1:] in page.ids
    for values in page.all("section"):
        assert values["aria-labelledby"] in page.ids


def test_slice_maps_show_every_slice(timed, synthetic_lnx):
    maps = re.findall(
        r'<img(?: class="magnified")? alt="Slice map of ([^:]*):[^"]*" [^>]*base64,([^"]*)"', timed
    )
    graph = read_lnx(synthetic_lnx)
    layers = layer_stats(graph)
    assert [name for name, _ in maps] == [layer.name for layer in layers]
    for layer, (_, data) in zip(layers, maps, strict=True):
        assert base64.b64decode(data).startswith(b"\x89PNG")
        assert f"{layer.slices - layer.zero_slices:,} of {layer.slices:,} left" in timed


def test_times_of_every_step_beside_the_dense_twin(timed, synthetic_lnx):
    from lilnetx.runtime import Session

    table = re.search(r'<table class="chart" id="times-by-layer">.*?</table>', timed, re.S).group()
    steps = Session(synthetic_lnx, threads=1).plan.steps
    assert table.count("<tr>") == len(steps) + 1
    rows = re.findall(r'<td class="num" data-sort="([^"]*)">', table)
    assert len(rows) == 3 * len(steps)
    assert all(float(value) > 0 for value in rows)
    assert 'data-network="dense twin"' in timed
    assert "No other engine took part" in timed


def test_without_times(synthetic_lnx, tmp_path, capsys):
    html = report(synthetic_lnx, tmp_path / "r.html", capsys, "--no-time")
    assert "Not measured" in html
    assert "median_ms" not in html
    Page(html)


def test_the_same_file_gives_the_same_page(synthetic_lnx, tmp_path, capsys):
    pages = {report(synthetic_lnx, tmp_path / "r.html", capsys, "--no-time") for _ in range(2)}
    assert len(pages) == 1


def test_another_engine_is_timed_and_checked(synthetic_lnx, tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnxruntime", reason="the engine to compare with")
    pytest.importorskip("onnx", reason="the engine reads ONNX models")
    argv = ["--seconds", "0.05", "--against", "onnxruntime"]
    html = report(synthetic_lnx, tmp_path / "r.html", capsys, *argv)
    assert 'data-network="onnxruntime"' in html
    from lilnetx.bench import contenders

    def wrong(graph, x, threads):
        made = contenders._onnxruntime(graph, x, threads)
        return dataclasses.replace(made, call=lambda: made.call() * 1.5)

    monkeypatch.setitem(contenders._MAKERS, "onnxruntime", wrong)
    out = tmp_path / "wrong.html"
    assert main(["report", str(synthetic_lnx), "-o", str(out), *argv]) == 2
    assert "onnxruntime: its output differs from ours" in capsys.readouterr().err
    assert not out.exists()


def test_names_that_are_markup(synthetic_lnx, tmp_path, capsys):
    graph = read_lnx(synthetic_lnx)
    name = "</script></text><&\"'\x01\x0c\x85" + "long" * 20
    first = graph.nodes[0].name
    nodes = tuple(
        dataclasses.replace(
            node,
            name=name if node.name == first else node.name,
            inputs=tuple(name if source == first else source for source in node.inputs),
        )
        for node in graph.nodes
    )
    path = tmp_path / "<&>.lnx"
    meta = {"dataset": "<script>alert(1)</script>"}
    write_lnx(dataclasses.replace(graph, nodes=nodes, meta=meta), path)
    html = report(path, tmp_path / "r.html", capsys, "--no-time")
    page = Page(html)
    assert len(page.all("script")) == 2
    assert "&lt;/script&gt;" in html


def test_every_operator_can_be_shown(tmp_path, capsys):
    from operator_cases import CASES, operator_graph

    kinds = {type(op).__name__: (op, shapes) for op, shapes in CASES}
    for name, case in kinds.items():
        path = tmp_path / "case.lnx"
        write_lnx(operator_graph(*case), path)
        html = report(path, tmp_path / "case.html", capsys, "--no-time")
        Page(html)
        assert 'class="network"' in html, name


@pytest.mark.parametrize("package", ["torch", "onnx", "tqdm"])
def test_numpy_is_enough(package, synthetic_lnx, tmp_path):
    out = tmp_path / "r.html"
    argv = ["report", str(synthetic_lnx), "-o", str(out), "--seconds", "0.01", "--against", "none"]
    code = (
        f"import sys; sys.modules[{package!r}] = None; "
        f"from lilnetx.cli.main import main; sys.exit(main({argv!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    assert out.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "no/r.html"], "does not exist"),
        (["-o", "."], "is a folder"),
        (["-o", "r.html", "--against", "tensorflow"], "onnxruntime"),
    ],
)
def test_wrong_uses(options, message, synthetic_lnx, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(synthetic_lnx), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_never_overwritten(synthetic_lnx, capsys):
    before = synthetic_lnx.read_bytes()
    assert main(["report", str(synthetic_lnx), "-o", str(synthetic_lnx), "--no-time"]) == 2
    assert "is the input as well" in capsys.readouterr().err
    assert synthetic_lnx.read_bytes() == before


def test_a_bar_shows_how_far_it_is(monkeypatch, capsys):
    from lilnetx.cli.common import stage_bar

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with stage_bar("measuring") as show:
        show("layers", 0.5)
    shown = capsys.readouterr().err
    assert "measuring [" + "#" * 15 + "." * 15 + "]  50%  layers" in shown
    assert shown.endswith("\r\x1b[K")
