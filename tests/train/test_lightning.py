"""The guide's example of a Lightning module runs as it stands."""

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: training cannot be tested")

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "training.md"


def test_the_example_trains_and_packs(tmp_path, monkeypatch):
    pytest.importorskip("lightning", reason="lightning is not installed: its example is not run")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    labels = torch.arange(400) % 2
    images = torch.randn(400, 1, 16, 16) * 0.3
    images[labels == 1, :, :8] += 1.0
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1, bias=False),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 2),
    )
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(images, labels), batch_size=8, shuffle=True
    )
    (block,) = re.findall(r"```python\n(.*?lightning.*?)```", GUIDE.read_text(), re.DOTALL)
    names = {"network": network, "loader": loader}
    exec(block, names)
    assert (tmp_path / "model.lnx").stat().st_size > 0
    figures = names["trainer"].callback_metrics
    assert figures["bytes"] == pytest.approx(names["compressed"].handle.report().bytes, rel=1e-5)
    with torch.no_grad():
        found = names["compressed"].network(images).argmax(1)
    assert (found == labels).float().mean() > 0.9
