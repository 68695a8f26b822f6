"""The exception tree: one class per defect, all under :class:`LilnetxError`.

The command line catches that one class, prints one line and exits with code 2. A message says where
(path, section or layer, offset), what was expected, what was found, and what to do.
"""

from __future__ import annotations


class LilnetxError(Exception):
    """Base of every error that lilnetx raises on purpose."""


class LnxFormatError(LilnetxError):
    """A ``.lnx`` file that cannot be read; the subclasses say why."""


class NotAnLnxFileError(LnxFormatError):
    """The file does not begin with the ``.lnx`` magic bytes."""


class UnsupportedVersionError(LnxFormatError):
    """The file has a newer version of the format than this reader knows, or one too old for it."""


class TruncatedFileError(LnxFormatError):
    """The file is shorter than its header declares."""


class TrailingBytesError(LnxFormatError):
    """The file is longer than its header declares."""


class ChecksumError(LnxFormatError):
    """A section's or the header's CRC32C differs from the stored one: the file is damaged."""


class CorruptSectionError(LnxFormatError):
    """A section's content contradicts itself, the header or another section."""


class LimitExceededError(LnxFormatError):
    """A declared size is above the caps of the format, so nothing was allocated."""


class FileChangedError(LnxFormatError):
    """A file that a session was made from has changed since."""


class OutOfMemoryError(LilnetxError, MemoryError):
    """A network within the caps of the format that needs more memory than this machine gives."""


class UnsupportedOperatorError(LilnetxError):
    """A network holds an operator that the importer or the runtime does not know."""


class GraphError(LilnetxError):
    """A graph contradicts itself: unknown value, shape mismatch, or missing weight."""


class InputError(LilnetxError):
    """An argument, or an input of a network, has the wrong type, shape or dtype."""


class MissingExtraError(LilnetxError):
    """An optional package is needed for this and is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed: "
            f"run  pip install 'lilnetx[{extra}]'"
        )


class TritonNotInstalledError(MissingExtraError):
    """A Triton kernel was asked for, and Triton is not installed."""

    def __init__(self, purpose: str) -> None:
        super().__init__("triton", "triton", purpose)


class DeviceError(LilnetxError):
    """A GPU cannot be used; the subclasses say why."""


class BuiltWithoutCudaError(DeviceError):
    """The build of lilnetx, or of torch, holds nothing that runs on a GPU."""


class NoDeviceError(DeviceError):
    """The driver shows no GPU."""


class UnsupportedArchitectureError(DeviceError):
    """The GPU is older than what the kernels are written for."""


class IsaError(LilnetxError):
    """The instruction set asked for is unknown, or this processor lacks it."""


class DataError(LilnetxError):
    """A data set is missing or its files are damaged."""


class CheckpointError(LilnetxError):
    """A training checkpoint is damaged or belongs to another network or configuration."""


class DivergedError(LilnetxError):
    """A training run's loss is no number any more."""


class SweepError(LilnetxError):
    """The storage of a sweep cannot be used, or holds another sweep."""


class PackError(LilnetxError):
    """A model cannot be packed as it is."""


class CompressionError(LilnetxError):
    """A model cannot be compressed as asked."""


class CalibrationError(LilnetxError):
    """Calibration images are missing, cannot be read or do not fit the network."""


class UsageError(LilnetxError):
    """The command line was used in a way that cannot work."""


class OutputError(LilnetxError):
    """A result could not be written (full disk, no permission, missing folder)."""


class WrongResultError(LilnetxError):
    """A computed result is further from the reference than is accepted."""
