"""Every code block of the documentation runs, or is named here with the reason why it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from examples import LANGUAGES, Block, blocks_of, commands_of, run_command, run_python

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

# Page and first line of a block -> why the tests do not run it.
NOT_RUN = {
    ("quickstart.md", "pip install -c constraints.txt '.[train,onnx]'"): (
        "installs packages: .ci/run does that"
    ),
    ("gpu-prediction.md", "python benchmarks/gpu_compile.py       # compiles the Triton kernels"): (
        "compiles for minutes: tests/bench/test_gpu_prediction.py runs its parts"
    ),
    ("training.md", "lilnetx train resnet18 --data folder --data-root imagenet \\"): (
        "wants ImageNet: test_image_folder.py and test_state_dict.py run it on little images"
    ),
    ("training.md", "lilnetx train resnet18 --data folder --data-root pictures --dense \\"): (
        "wants a folder of images and weights: the same tests run both kinds on little images"
    ),
    ("training.md", "import lightning"): (
        "wants Lightning: tests/train/test_lightning.py runs it where that is installed"
    ),
}


def key_of(page: Path, block: Block) -> tuple[str, str]:
    return page.relative_to(DOCS).as_posix(), block.code.split("\n", 1)[0]


def test_every_block_says_what_it_is():
    for page in PAGES:
        for block in blocks_of(page):
            assert block.language in LANGUAGES, f"{page}:{block.line}"


def test_what_is_not_run_is_there(summary_line):
    found = {key_of(page, block) for page in PAGES for block in blocks_of(page)}
    assert set(NOT_RUN) <= found
    for (page, line), reason in NOT_RUN.items():
        summary_line(f"not run: docs/{page}, '{line}': {reason}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_examples_run(page, tmp_path, monkeypatch, tiny_fashion_mnist, capsys):
    runnable = [
        block
        for block in blocks_of(page)
        if block.language in ("python", "sh") and key_of(page, block) not in NOT_RUN
    ]
    if not runnable:
        return
    pytest.importorskip("torch", reason="examples train and import networks by torch")
    pytest.importorskip("onnx", reason="examples read and write ONNX models")
    pytest.importorskip("safetensors", reason="examples write safetensors")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "example"}
    for block in runnable:
        if block.language == "python":
            run_python(block, page, names)
        else:
            for words in commands_of(block.code):
                run_command(words, tiny_fashion_mnist)
