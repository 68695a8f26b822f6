import csv
import re
from html.parser import HTMLParser

import pytest

pytest.importorskip("torch", reason="torch is not installed: a sweep's settings need it")

from lilnetx.sweep.chart import chart
from lilnetx.sweep.front import Outcome, pareto_front, write_csv
from lilnetx.sweep.report import write_reports
from lilnetx.sweep.shapes import Dot, Line


def outcome(slot: int, top1: float, size: int, macs: int, test: float = 0.5) -> Outcome:
    return Outcome(
        slot, {"rate": 0.1 * (slot + 1)}, top1, size, macs, 1000, 0.5, 0.2, test, 3.5, f"t/{slot}"
    )


OUTCOMES = [
    outcome(0, 0.90, 9000, 400),
    outcome(1, 0.92, 9000, 400),  # beats 0
    outcome(2, 0.88, 7000, 500),  # smaller, but more computation
    outcome(3, 0.88, 7000, 450),  # beats 2
    outcome(4, 0.92, 9000, 400),  # equal to 1
    outcome(5, 0.80, 8000, 100),  # least computation
    outcome(6, 0.79, 8000, 100, test=0.99),  # its test accuracy counts for nothing
]
DEFINITION = {"config": {"network": "resnet20", "data": "toy <&>"}, "vary": {"rate": "0.1..3"}}


def test_the_front_is_what_nothing_beats():
    assert [o.slot for o in pareto_front(OUTCOMES)] == [1, 5, 3]
    assert pareto_front([]) == []


def test_tables_have_a_row_for_each_outcome(tmp_path):
    write_csv(tmp_path / "x.csv", OUTCOMES)
    with open(tmp_path / "x.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["trial"]) for row in rows] == list(range(7))
    assert float(rows[2]["rate"]) == pytest.approx(0.3)
    assert rows[3]["bytes"] == "7000"
    assert rows[6]["test_top1"] == "0.99"


def test_each_panel_has_all_trials_and_a_line_around_the_best():
    shapes = chart(OUTCOMES, pareto_front(OUTCOMES))
    dots = [s for s in shapes if isinstance(s, Dot)]
    assert len(dots) == 2 * len(OUTCOMES)
    assert sum(d.colour == "#0072B2" for d in dots) == 6
    stairs = [s for s in shapes if isinstance(s, Line) and s.colour == "#0072B2"]
    assert len(stairs) == 2
    for line, first in zip(stairs, (dots[:7], dots[7:]), strict=True):
        # Up is a smaller y: no trial lies above and to the left of the line.
        ys = [y for _, y in line.points]
        assert ys == sorted(ys, reverse=True)
        assert min(ys) == min(d.y for d in first)
        assert line.points[0][0] == min(d.x for d in first)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_reports_are_written_whole_and_need_no_network(tmp_path, count):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed: no PNG")
    write_reports(tmp_path, DEFINITION, OUTCOMES[:count], 8)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"trials.csv", "front.csv", "front.png", "front.html"}
    with image.open(tmp_path / "front.png") as picture:
        picture.load()
        assert picture.size == (2000, 840)
        # Paper, ink, grid and the dots of the front.
        assert (0, 114, 178) in {colour for _, colour in picture.getcolors(1 << 20)}
    page = (tmp_path / "front.html").read_text()
    HTMLParser().feed(page)
    assert page.count("<circle") == 2 * count
    assert "toy &lt;&amp;&gt;" in page
    links = set(re.findall(r'(?:href|src)=|https?://[^"<]*', page))
    assert links == {"http://www.w3.org/2000/svg"}  # the name of SVG's elements, not a link


def test_nothing_is_written_before_a_trial_is_done(tmp_path):
    write_reports(tmp_path, DEFINITION, [], 8)
    assert not list(tmp_path.iterdir())
