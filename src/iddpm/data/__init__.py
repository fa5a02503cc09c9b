"""What there is to learn from: datasets as arrays of grey levels, split once and for all."""

from iddpm.data.dataset import ArrayDataset, Dataset, Splits
from iddpm.data.scaling import quantize, scale
from iddpm.data.source import open_source, opening

__all__ = ["ArrayDataset", "Dataset", "Splits", "open_source", "opening", "quantize", "scale"]
