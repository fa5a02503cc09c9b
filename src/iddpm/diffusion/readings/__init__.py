"""The ways to read a trained network otherwise than it was made, a file each."""

from iddpm.diffusion.readings.error_table import ErrorTable
from iddpm.diffusion.readings.fixed import FixedLargeReading, FixedReading, FixedSmallReading
from iddpm.diffusion.readings.jacobian import Jacobian
from iddpm.diffusion.readings.reading import ExpectedError, Reading

__all__ = [
    "ErrorTable",
    "ExpectedError",
    "FixedLargeReading",
    "FixedReading",
    "FixedSmallReading",
    "Jacobian",
    "Reading",
]
