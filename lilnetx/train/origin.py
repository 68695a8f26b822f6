"""What a packed file says about where it comes from."""

from __future__ import annotations

from typing import Any

from lilnetx.data import DataFacts
from lilnetx.train.config import TrainConfig


def file_meta(config: TrainConfig, facts: DataFacts, epochs: int) -> dict[str, Any]:
    """Facts for a file's metadata, which :mod:`lilnetx.cli.evaluate` reads.

    Settings that have the defaults of the version that packed the file, which it names, are left
    out: in a file of some kilobytes they would be a visible share.

    Args:
        config: The run.
        facts: Of its data.
        epochs: How many were trained.
    """
    settings, defaults = config.as_json(), TrainConfig().as_json()
    told = {name: value for name, value in settings.items() if value != defaults[name]}
    told |= {"network": config.network, "epochs": epochs}
    told.pop("data", None)  # "dataset" says it
    return {
        "dataset": facts.name,
        "classes": list(facts.classes),
        "input": {"mean": list(facts.mean), "std": list(facts.std)},
        "training": told,
    }


__all__ = ["file_meta"]
