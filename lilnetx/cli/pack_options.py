"""Which options of ``lilnetx pack`` are for which kind of model; the others are refused."""

from __future__ import annotations

import argparse

from lilnetx.cli.sources import Kind
from lilnetx.errors import UsageError

# By their names among the parsed arguments, where options that were not given are None.
_TRIM = ("trim_images", "data_root")
_CHECKPOINT = ("trim", *_TRIM, "side_bits")
_TARGET = ("target_bytes", "max_drop")
_CALIBRATION = ("resize", "calibration_images", "slice_1x1", "seed")
_PICTURES = ("scale", "resize")


def require_fit(args: argparse.Namespace, kind: Kind) -> None:
    """Refuses options that would have no effect.

    Args:
        args: The options.
        kind: What the model is.

    Raises:
        UsageError: An option is not for this kind of model, or is nothing without another one.
    """
    if kind == "checkpoint":
        _require_fit_of_checkpoint(args)
    else:
        _require_fit_of_import(args)


def _require_fit_of_checkpoint(args: argparse.Namespace) -> None:
    if args.input_shape is not None:
        raise UsageError("--input-shape is for ONNX models; a checkpoint knows its images")
    if any(getattr(args, name) is not None for name in (*_TARGET, "calibration")):
        raise UsageError(
            "--target-bytes, --max-drop and --calibration are for ONNX models and exported "
            "programs; a checkpoint has integers already: --trim makes it smaller, 'lilnetx train "
            "--start RUN --target-bytes N' much smaller"
        )
    foreign = ("mean", "std", "scale", *_CALIBRATION)
    _refuse(args, foreign, "is for ONNX models and exported programs, not for checkpoints")
    if args.trim is None:
        _refuse(args, _TRIM, "is for --trim D")


def _require_fit_of_import(args: argparse.Namespace) -> None:
    _refuse(args, _CHECKPOINT, "is for checkpoints of lilnetx train, whose weights are integers")
    if args.calibration is None:
        _refuse(
            args,
            _TARGET,
            "needs --calibration DIR, a folder of some hundred images like those that the network "
            "will see, without labels",
        )
        _refuse(args, _CALIBRATION, "is for compression by --calibration DIR")
    elif args.target_bytes is None and args.max_drop is None:
        raise UsageError(
            "--calibration needs --target-bytes N or --max-drop P: how small it may be"
        )
    if args.mean is None and args.std is None:
        _refuse(args, _PICTURES, "needs --mean and --std")


def _refuse(args: argparse.Namespace, names: tuple[str, ...], reason: str) -> None:
    """UsageError with the first of the options that was given."""
    for name in names:
        if getattr(args, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} {reason}")


__all__ = ["require_fit"]
