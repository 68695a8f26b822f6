"""``lilnetx train``: train a network as integer latents."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lilnetx.cli.common import EXIT_OK, CommandParser
from lilnetx.cli.run_settings import add_settings, settings_of
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
  lilnetx train resnet18 --data folder --data-root images --start resnet18.pth --distill 0.7 \\
      --tensorboard runs/events -o runs/imagenet
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
    from lilnetx.train.distributed import leave_processes, place_among_processes
    from lilnetx.train.loop import CHECKPOINT, train

    config = settings_of(args)
    data = load(config.data, args.data_root, config.image_size)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    try:
        trained = train(
            config,
            data,
            args.output,
            progress=not args.quiet,
            tensorboard=args.tensorboard,
            device=args.device,
        )
    except KeyboardInterrupt:
        if (args.output / CHECKPOINT).exists():
            print(
                f"\nstopped; the same command goes on from the last checkpoint in {args.output}",
                file=sys.stderr,
            )
        raise
    rank, _ = place_among_processes()
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
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FOLDER", help="folder of the run"
    )
    parser.add_argument(
        "--tensorboard",
        type=Path,
        metavar="DIR",
        help="write curves, histograms and pictures of the slices for TensorBoard into this folder",
    )
    add_settings(parser)


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
