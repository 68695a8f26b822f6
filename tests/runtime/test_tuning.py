"""Choices by measuring: what is tried, what is remembered, and that all of it computes the same."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cases import CASES, conv_graph
from random_networks import residual_network
from tolerances import LAYER, NETWORK

from lilnetx.errors import InputError
from lilnetx.reference import run
from lilnetx.runtime import Session, available_isas, tuning
from lilnetx.runtime.build import build_network
from lilnetx.runtime.candidates import candidates, identity
from lilnetx.runtime.packed import pack_graph
from lilnetx.runtime.plan import make_plan
from lilnetx.runtime.tuning import layer_key, step_variants, variant_name
from lilnetx.runtime.tuning_cache import Finding, TuningCache, cache_path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The path of an empty cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_path()


@pytest.fixture
def measured(monkeypatch):
    """Measuring finds that the last variant is best; the list has all that was asked for."""
    asked = []

    def measure(plan, variants, weights, threads):
        asked.append(variants)
        return Finding(variant_name(variants[-1]), 1.0, 2.0, len(variants))

    monkeypatch.setattr(tuning, "_measure", measure)
    return asked


def outputs(session, x):
    found = session.run(x)
    return found if isinstance(found, tuple) else (found,)


def convolutions(isa, cases=CASES):
    for case in cases:
        plan = make_plan(conv_graph(case), isa)
        yield case, plan, next(step for step in plan.steps if step.name == "conv")


@pytest.mark.parametrize("isa", available_isas())
def test_candidates_begin_with_the_rules_and_differ(isa):
    several = 0
    for _, _, step in convolutions(isa):
        found = candidates(step.problem)
        assert found[0] == step.choice
        assert len({identity(choice) for choice in found}) == len(found)
        assert len(found) == 1 or step.density > 0
        several += len(found) > 2
        variants = step_variants(step)
        assert variants[0] == step
        assert len({variant_name(variant) for variant in variants}) == len(variants)
    assert several > len(CASES) / 2


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("offset", range(4))
def test_every_candidate_computes_the_convolution(isa, offset):
    tried = 0
    for case, plan, step in convolutions(isa, CASES[offset::4]):
        graph = conv_graph(case)
        x = np.random.default_rng(0).normal(size=(1, *graph.input_shape)).astype(np.float32)
        expected = run(graph, x)[0]
        for variant in step_variants(step):
            steps = tuple(variant if s is step else s for s in plan.steps)
            try:
                network = build_network(replace(plan, steps=steps), pack_graph(graph), 1)
            except ValueError:
                assert variant is not step
                continue  # no kernel has this tile
            actual = network.run([x])[0].reshape(expected.shape)
            error = np.abs(actual - expected).max()
            assert error <= LAYER["float32"] * max(np.abs(expected).max(), 1.0), (case, variant)
            tried += 1
    assert tried > len(CASES[offset::4])


def test_measuring_is_remembered(cache):
    graph = residual_network(0)
    rules = Session(graph, threads=1, tune=False).plan
    assert not cache.exists()
    tuned = Session(graph, threads=1, tune=True).plan
    assert cache.exists()
    weighted = [step for step in tuned.steps if step.density]
    assert weighted
    assert all("measured: " in step.reason for step in weighted)
    assert not any("measured" in step.reason for step in rules.steps)
    assert Session(graph, threads=1).plan == tuned
    assert Session(graph, threads=1, tune=False).plan == rules
    # Other threads or instruction sets are other measurements.
    assert "measured" not in str(Session(graph, threads=2).plan)
    assert "measured" not in str(make_plan(graph, available_isas()[0]))


def test_the_fastest_is_taken_and_computes_the_same(cache, measured):
    graph = residual_network(1)
    x = np.random.default_rng(0).normal(size=(2, *graph.input_shape)).astype(np.float32)
    session = Session(graph, threads=1, tune=True)
    steps = {step.name: step for step in session.plan.steps if step.density}
    for variants in measured:
        assert variant_name(steps[variants[0].name]) == variant_name(variants[-1])
        assert "measured: 1.000 ms, the best of" in steps[variants[0].name].reason
        assert "by rule: 2.000 ms" in steps[variants[0].name].reason
    for actual, expected in zip(outputs(session, x), run(graph, x), strict=True):
        assert np.abs(actual - expected).max() <= NETWORK["float32"] * np.abs(expected).max()


def test_equal_layers_are_measured_once(cache, measured):
    graph = residual_network(0)
    plan = make_plan(graph, available_isas()[0])
    keys = [layer_key(step, plan.isa, 1) for step in plan.steps if step.density]
    Session(graph, threads=1, tune=True)
    assert len(measured) == len(set(keys))
    Session(graph, threads=1)
    assert len(measured) == len(set(keys))
    Session(graph, threads=1, tune=True)
    assert len(measured) == 2 * len(set(keys))


def test_a_clear_lead_is_needed_to_leave_the_rules(cache, monkeypatch):
    class Network:
        lead = 0.0

        def __init__(self, *args):
            self.steps = 0

        def add_input(self, image):
            pass

        def add_conv(self, **arguments):
            self.steps += 1

        def profile(self, x, repeats):
            seconds = np.full((repeats, 1 + self.steps), 1e-3)
            seconds[:, -1] -= self.lead * 1e-3
            return seconds

    plan = make_plan(conv_graph(CASES[12]), available_isas()[0])
    step = next(step for step in plan.steps if step.name == "conv")
    weights = pack_graph(conv_graph(CASES[12]))
    variants = step_variants(step)
    monkeypatch.setattr(tuning._core, "Network", Network)
    for lead, best in ((0.01, 0), (0.1, -1)):
        Network.lead = lead
        finding = tuning._measure(plan, variants, weights, 1)
        assert finding.variant == variant_name(variants[best])
        assert finding.tried == len(variants)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"{}",
        b'{"format": 1, "machine": MACHINE}',
        b'{"format": 1, "machine": MACHINE, "layers": []}',
        b'{"format": 1, "machine": MACHINE, "layers": {"a": {"variant": "x"}}}',
        b'{"format": 1, "machine": MACHINE, "layers": {"a": 3}}',
    ],
)
def test_a_damaged_cache_is_ignored_with_a_warning(cache, text):
    graph = residual_network(0)
    TuningCache().update({"layer": Finding("flat", 1.0, 1.0, 1)})
    machine = json.loads(cache.read_text())["machine"]
    cache.write_bytes(text.replace(b"MACHINE", json.dumps(machine).encode()))
    with pytest.warns(RuntimeWarning, match=r"tuning-.*json: the record .* is damaged"):
        plan = Session(graph, threads=1).plan
    assert plan == Session(graph, threads=1, tune=False).plan
    with pytest.warns(RuntimeWarning, match="is damaged"):
        tuned = Session(graph, threads=1, tune=True).plan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Session(graph, threads=1).plan == tuned


@pytest.mark.parametrize("change", [{"format": 2}, {"machine": {"cpu": "another"}}])
def test_a_cache_of_other_formats_or_machines_is_not_used(cache, change):
    graph = residual_network(0)
    Session(graph, threads=1, tune=True)
    cache.write_text(json.dumps(json.loads(cache.read_text()) | change))
    assert Session(graph, threads=1).plan == Session(graph, threads=1, tune=False).plan


def test_variants_that_no_longer_exist_are_not_used(cache):
    graph = residual_network(0)
    rules = make_plan(graph, available_isas()[0])
    findings = {
        layer_key(step, rules.isa, 1): Finding("conv/of/yesterday", 1.0, 2.0, 3)
        for step in rules.steps
        if step.density
    }
    TuningCache().update(findings)
    assert Session(graph, threads=1).plan == Session(graph, threads=1, tune=False).plan


def test_findings_of_other_processes_are_kept(cache):
    mine, theirs = TuningCache(), TuningCache()
    theirs.update({"b": Finding("flat", 1.0, 1.0, 1)})
    mine.update({"a": Finding("rows", 2.0, 3.0, 4)})
    again = TuningCache()
    assert again.get("a") == Finding("rows", 2.0, 3.0, 4)
    assert again.get("b") == Finding("flat", 1.0, 1.0, 1)


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="cannot write what was measured"):
        session = Session(residual_network(0), threads=1, tune=True)
    assert "measured: " in str(session.plan)


def test_the_place_of_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_path().parent == tmp_path / "lilnetx"
    monkeypatch.setenv("HOME", "/somewhere")
    for ignored in ("", "not/absolute"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_path().parent == Path("/somewhere/.cache/lilnetx")


def test_other_words_for_tune_are_refused():
    with pytest.raises(InputError, match="tune='always'"):
        Session(residual_network(0), tune="always")
