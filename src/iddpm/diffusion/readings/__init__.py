"""The ways to read a trained network otherwise than it was made, a file each."""

from iddpm.diffusion.readings.error_table import ANALYTIC, CALIBRATED, ErrorTable
from iddpm.diffusion.readings.fixed import FixedLargeReading, FixedReading, FixedSmallReading
from iddpm.diffusion.readings.jacobian import Jacobian
from iddpm.diffusion.readings.reading import ExpectedError, Reading, reading_named

__all__ = [
    "ANALYTIC",
    "CALIBRATED",
    "ErrorTable",
    "ExpectedError",
    "FixedLargeReading",
    "FixedReading",
    "FixedSmallReading",
    "Jacobian",
    "Reading",
    "reading_named",
]
