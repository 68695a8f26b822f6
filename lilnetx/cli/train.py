"""``lilnetx train``: train a network as integer latents."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lilnetx.cli.common import EXIT_OK, CommandParser, add_data_root, positive_int
from lilnetx.cli.table import format_facts, format_share

if TYPE_CHECKING:
    from lilnetx.train.config import TrainConfig

_DESCRIPTION = """\
Train a network so that its weights become few, small integers, many of them zero in whole slices.

FOLDER receives checkpoint.pt after each epoch and log.jsonl, a line of figures for each epoch. When
FOLDER already holds a checkpoint of the same settings, training goes on from it: after an
interruption, give the same command again.
"""

_EPILOG = """\
examples:
  lilnetx train resnet20 --data fashion-mnist -o runs/fashion
  lilnetx train resnet20 --data cifar-10 --width 64 --epochs 60 --rate 2 -o runs/cifar
  lilnetx train resnet20 --data fashion-mnist --dense -o runs/dense    (a baseline)
  lilnetx train resnet20 --data fashion-mnist --start runs/dense --distill 0.7 --epochs 10 \\
      --target-bytes 16000 -o runs/small
  torchrun --nproc-per-node 2 -m lilnetx.cli.main train resnet20 --data fashion-mnist -o runs/two
"""


def add_parser(subparsers: argparse._SubParsersAction[CommandParser]) -> None:
    """Declare the command; its options wait until they are needed, since they import torch."""
    parser = subparsers.add_parser(
        "train",
        help="train a network on a data set",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        options=_declare_options,
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, print the final figures, and say what to do next."""
    import torch

    from lilnetx.data import load
    from lilnetx.train.config import TrainConfig
    from lilnetx.train.distributed import join_processes, leave_processes
    from lilnetx.train.loop import CHECKPOINT, train

    names = [field.name for field in dataclasses.fields(TrainConfig)]
    config = TrainConfig(**{name: getattr(args, name) for name in names})
    data = load(config.data, args.data_root)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    try:
        trained = train(config, data, args.output, progress=not args.quiet)
    except KeyboardInterrupt:
        if (args.output / CHECKPOINT).exists():
            print(
                f"\nstopped; the same command goes on from the last checkpoint in {args.output}",
                file=sys.stderr,
            )
        raise
    rank, _ = join_processes()
    leave_processes()
    if rank:
        return EXIT_OK
    print(format_facts(_facts(config, trained.result)))
    if config.dense:
        print(f"\nnext: lilnetx pack {args.output} -o {args.output.name}.lnx  (a dense file)")
    else:
        print(f"\nnext: lilnetx pack {args.output} -o {args.output.name}.lnx")
    return EXIT_OK


def _declare_options(parser: argparse.ArgumentParser) -> None:
    from lilnetx.data import DATASETS
    from lilnetx.train.config import TrainConfig
    from lilnetx.train.networks import NETWORKS

    help_texts = _attribute_docs(TrainConfig)
    parser.add_argument("network", choices=sorted(NETWORKS), help="network to train")
    parser.add_argument("--data", required=True, choices=sorted(DATASETS), help="data set")
    add_data_root(parser)
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FOLDER", help="folder of the run"
    )
    parser.add_argument(
        "--threads", type=positive_int, metavar="N", help="threads to use (default: torch's choice)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    settings = parser.add_argument_group("settings of the run")
    for field in dataclasses.fields(TrainConfig):
        if field.name in ("network", "data"):
            continue
        option = f"--{field.name.replace('_', '-')}"
        text = f"{help_texts[field.name]} (default: {field.default})".replace("%", "%%")
        if isinstance(field.default, bool):
            settings.add_argument(
                option, action=argparse.BooleanOptionalAction, default=field.default, help=text
            )
        else:
            kind = type(field.default)
            metavar = {int: "N", float: "X"}.get(kind, "NAME")
            settings.add_argument(
                option, type=kind, default=field.default, metavar=metavar, help=text
            )


def _attribute_docs(cls: type[Any]) -> dict[str, str]:
    """The ``Attributes:`` of a class's docstring, by name, each on one line."""
    section = (inspect.getdoc(cls) or "").partition("Attributes:")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n {6,}.*)*)", section, re.MULTILINE)
    # Cross references mean nothing on a terminal.
    texts = {
        name: re.sub(r" \(see [^)]*\)|:\w+:`[~.]?([^`]+)`|`+", r"\1", text) for name, text in found
    }
    return {name: " ".join(text.split()).rstrip(".") for name, text in texts.items()}


def _facts(config: TrainConfig, result: dict[str, Any]) -> list[tuple[str, object]]:
    correct, images = result["test_correct"], result["test_images"]
    facts: list[tuple[str, object]] = [
        ("network", f"{config.network}, width {config.width}"),
        ("test top-1", format_share(correct, images)),
    ]
    if not config.dense:
        facts += [
            ("self-information", f"{result['bytes']:,.0f} bytes of latents"),
            ("bits per latent", f"{result['bits_per_latent']:.3f}"),
            ("zero slices, KxK", f"{100 * result['sparsity_kxk']:.1f} %"),
            ("zero slices, 1x1", f"{100 * result['sparsity_1x1']:.1f} %"),
            ("multiply-adds left", format_share(result["macs_left"], result["macs"])),
        ]
    return facts
