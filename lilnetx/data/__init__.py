"""Image data sets in their own file formats, as numpy arrays; no framework needed."""

from lilnetx.data.dataset import ImageDataset, validation_split
from lilnetx.data.registry import DATASETS, load

__all__ = ["DATASETS", "ImageDataset", "load", "validation_split"]
