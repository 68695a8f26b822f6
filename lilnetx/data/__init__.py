"""Image data sets in their own file formats, as numpy arrays; no framework needed."""

from lilnetx.data.dataset import (
    DataFacts,
    ImageDataset,
    Images,
    normalise,
    spread,
    validation_split,
)
from lilnetx.data.registry import DATASETS, load

__all__ = [
    "DATASETS",
    "DataFacts",
    "ImageDataset",
    "Images",
    "load",
    "normalise",
    "spread",
    "validation_split",
]
