"""The options that set up a training run, for every command that trains."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
from typing import TYPE_CHECKING, Any

from lilnetx.cli.common import add_data_root, positive_int

if TYPE_CHECKING:
    from lilnetx.train.config import TrainConfig


def add_settings(parser: argparse.ArgumentParser, *, but: tuple[str, ...] = ()) -> None:
    """Network, data, threads, and an option for each field of a run's settings.

    Args:
        parser: Where they are declared.
        but: Fields to leave out; they keep their defaults.
    """
    from lilnetx.data import DATASETS
    from lilnetx.train.config import TrainConfig
    from lilnetx.train.device import DEVICES
    from lilnetx.train.networks import NETWORKS

    help_texts = _attribute_docs(TrainConfig)
    parser.add_argument("network", choices=sorted(NETWORKS), help="network to train")
    parser.add_argument("--data", required=True, choices=sorted(DATASETS), help="data set")
    add_data_root(parser)
    parser.add_argument(
        "--threads", type=positive_int, metavar="N", help="threads to use (default: torch's choice)"
    )
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="where to train: auto takes a GPU where there is one (default)",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="no progress bar, no line after each epoch"
    )
    settings = parser.add_argument_group("settings of the run")
    for field in dataclasses.fields(TrainConfig):
        if field.name in ("network", "data", *but):
            continue
        # Each network has a width of its own.
        default = None if field.name == "width" else field.default
        option = f"--{field.name.replace('_', '-')}"
        text = f"{help_texts[field.name]} (default: {field.default})".replace("%", "%%")
        if isinstance(field.default, bool):
            settings.add_argument(
                option, action=argparse.BooleanOptionalAction, default=default, help=text
            )
        else:
            kind = type(field.default)
            metavar = {int: "N", float: "X"}.get(kind, "NAME")
            settings.add_argument(option, type=kind, default=default, metavar=metavar, help=text)


def settings_of(args: argparse.Namespace) -> TrainConfig:
    """The settings that parsed options say."""
    from lilnetx.train.config import TrainConfig
    from lilnetx.train.networks import WIDTHS

    names = [field.name for field in dataclasses.fields(TrainConfig)]
    told = {name: getattr(args, name) for name in names if hasattr(args, name)}
    if told["width"] is None:
        told["width"] = WIDTHS.get(args.network, TrainConfig.width)
    return TrainConfig(**told)


def _attribute_docs(cls: type[Any]) -> dict[str, str]:
    """The ``Attributes:`` of a class's docstring, by name, each on one line."""
    section = (inspect.getdoc(cls) or "").partition("Attributes:")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n {6,}.*)*)", section, re.MULTILINE)
    # Cross references mean nothing on a terminal.
    texts = {
        name: re.sub(r" \(see [^)]*\)|:\w+:`[~.]?([^`]+)`|`+", r"\1", text) for name, text in found
    }
    return {name: " ".join(text.split()).rstrip(".") for name, text in texts.items()}
