"""Roofs are measured, not asserted: what is tested is what must hold on every machine."""

import pytest

from lilnetx import _core
from lilnetx.bench.peak import cache_bytes, measure_peak


def test_every_roof_is_measured():
    for isa in _core.available_isas():
        peak = measure_peak(isa, seconds=1e-4)
        assert peak.isa == isa
        assert peak.gflops > 0
        assert set(peak.load_gbs) == {*peak.cache_bytes, "memory"}
        assert min(peak.load_gbs.values()) > 0


def test_unknown_instruction_set():
    with pytest.raises(ValueError, match="this machine has"):
        _core.measure_fma_gflops("mmx", 1e-4)
    with pytest.raises(ValueError, match="bytes must be positive"):
        _core.measure_load_gbs("portable", 0, 1e-4)


def test_cache_sizes_come_from_the_system(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3}, raising=False)
    caches = [("Data", 1, "48K"), ("Instruction", 1, "32K"), ("Unified", 2, "1M")]
    for i, (kind, level, size) in enumerate(caches):
        folder = tmp_path / "cpu3" / "cache" / f"index{i}"
        folder.mkdir(parents=True)
        for name, text in (("type", kind), ("level", str(level)), ("size", size)):
            (folder / name).write_text(text + "\n")
    assert cache_bytes(tmp_path) == {"L1": 48 * 1024, "L2": 1024 * 1024}
    assert set(cache_bytes(tmp_path / "missing")) == {"L1", "L2", "L3"}
