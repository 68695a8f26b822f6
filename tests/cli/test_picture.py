"""`lilnetx inspect --svg` and `--bytes`."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from xml.etree import ElementTree

import pytest

from lilnetx.cli.main import main
from lilnetx.format import read_lnx, write_lnx

SVG = "{http://www.w3.org/2000/svg}"


def inspected(path, svg, capsys):
    capsys.readouterr()
    assert main(["inspect", str(path), "--json", "--bytes", "--svg", str(svg)]) == 0
    root = ElementTree.fromstring(svg.read_bytes())
    return json.loads(capsys.readouterr().out), root


def test_its_sums_are_those_of_the_json(synthetic_lnx, tmp_path, capsys):
    row, root = inspected(synthetic_lnx, tmp_path / "bytes.svg", capsys)
    assert root.tag == f"{SVG}svg"
    sections, layers = {}, {}
    for rect in root.iter(f"{SVG}rect"):
        if (section := rect.get("data-section")) is None:
            continue
        size = int(rect.get("data-bytes"))
        if (layer := rect.get("data-layer")) is None:
            assert section not in sections
            sections[section] = size
        else:
            layers.setdefault(layer, {"LATS": 0, "RAWF": 0, "SIDE": 0})[section] = size
    assert sections == row["bytes_by_section"]
    assert layers == row["bytes_by_layer"]
    assert list(layers) == [n.name for n in read_lnx(synthetic_lnx).nodes if n.weight is not None]
    totals = Counter()
    for sizes in layers.values():
        totals.update(sizes)
    assert totals["LATS"] == sections["LATS"]
    assert totals["SIDE"] == sections["SIDE"]
    title = root.find(f"{SVG}title").text
    assert synthetic_lnx.name in title
    assert f"{row['file_bytes']:,} bytes" in title


def test_bars_are_in_proportion_and_inside(synthetic_lnx, tmp_path, capsys):
    _, root = inspected(synthetic_lnx, tmp_path / "bytes.svg", capsys)
    width, height = float(root.get("width")), float(root.get("height"))
    for of_layers in (False, True):
        scales = []
        for rect in root.iter(f"{SVG}rect"):
            if rect.get("data-bytes") and (rect.get("data-layer") is not None) == of_layers:
                x, y, w, h = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
                assert 0 <= x <= x + w <= width
                assert 0 <= y <= y + h <= height
                if w > 5:
                    scales.append(w / int(rect.get("data-bytes")))
        assert max(scales) == pytest.approx(min(scales), rel=0.01)


def test_names_that_are_markup(synthetic_lnx, tmp_path, capsys):
    graph = read_lnx(synthetic_lnx)
    name = "</text><&\"'\x01\x0c" + "long" * 20
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
    write_lnx(dataclasses.replace(graph, nodes=nodes), path)
    row, root = inspected(path, tmp_path / "bytes.svg", capsys)
    names = {rect.get("data-layer") for rect in root.iter(f"{SVG}rect")} - {None}
    assert name in row["bytes_by_layer"]
    assert name.replace("\x01", "?").replace("\x0c", "?") in names


def test_the_table_has_bytes_too(synthetic_lnx, capsys):
    assert main(["inspect", str(synthetic_lnx), "--bytes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (header,) = (line for line in lines if line.startswith("layer "))
    assert header.split()[-1] == "bytes"


def test_a_picture_never_overwrites_the_file(synthetic_lnx, tmp_path, capsys):
    before = synthetic_lnx.read_bytes()
    assert main(["inspect", str(synthetic_lnx), "--svg", str(synthetic_lnx)]) == 2
    assert main(["inspect", str(synthetic_lnx), "--svg", str(tmp_path / "no" / "x.svg")]) == 2
    assert synthetic_lnx.read_bytes() == before
