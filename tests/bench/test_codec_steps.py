"""The steps that ``benchmarks/codec_steps.py`` takes away are in the coder's sources."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def codec_steps():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import codec_steps
    finally:
        sys.path.remove(str(BENCHMARKS))
    return codec_steps


def test_each_step_is_one_line_of_the_coder(codec_steps):
    for step in codec_steps.STEPS:
        text = (codec_steps.SOURCES / "codec" / step.file).read_text()
        assert text.count(step.line) == 1, step.name
        assert step.without not in (step.line, None)


def test_a_step_that_is_gone_is_refused(codec_steps, tmp_path):
    gone = codec_steps.Step("gone", "bit_model.h", "no such line", "")
    with pytest.raises(SystemExit, match=r"gone: bit_model\.h no longer has"):
        codec_steps.compile_coder(tmp_path, gone)
