"""The data to learn from: items of one shape as grey levels, split once and for all.

One's own data is a `Dataset`; data that a name stands for is a source (`data/sources`); how items are shown and written
to files is a kind of data (`data/kinds`).
"""

from iddpm.data.dataset import ArrayDataset, Dataset, Rows, Splits, split
from iddpm.data.opening import open_source, opening
from iddpm.data.scaling import quantize, scale

__all__ = ["ArrayDataset", "Dataset", "Rows", "Splits", "open_source", "opening", "quantize", "scale", "split"]
