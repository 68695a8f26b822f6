"""Image data sets in their own file formats, as numpy arrays; no framework needed."""

from lilnetx.data.dataset import DataFacts, ImageDataset, Images, normalise, validation_split
from lilnetx.data.registry import DATASETS, load

__all__ = [
    "DATASETS",
    "DataFacts",
    "ImageDataset",
    "Images",
    "load",
    "normalise",
    "validation_split",
]
