"""Samples as pictures: grids with gutters, drawn large enough to see."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from iddpm.config import DatasetSpec
from iddpm.data import quantize
from iddpm.data.kinds import kind_of
from iddpm.data.scaling import Levels
from iddpm.errors import UserError
from iddpm.files import replacing

GUTTER = 2
"""Pixels between the pictures of a grid, before enlarging."""
SMALLEST_TILE = 48
"""Side in pixels that smaller pictures are enlarged to, about, by a whole factor: 8x8 pixels cannot be seen."""


def grid(items: Levels, spec: DatasetSpec, columns: int | None = None) -> Image.Image:
    """Return the items, of any size, on one sheet, row by row, with gutters between them."""
    pictures = kind_of(spec).shown(items, spec.levels)
    count, height, width, channels = pictures.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    factor = max(1, round(SMALLEST_TILE / max(height, width)))
    height, width, gutter = height * factor, width * factor, GUTTER * max(1, factor // 2)
    sheet = np.full(
        (rows * (height + gutter) + gutter, columns * (width + gutter) + gutter, channels), 96, dtype=np.uint8
    )
    for i, picture in enumerate(pictures):
        top = gutter + (i // columns) * (height + gutter)
        left = gutter + (i % columns) * (width + gutter)
        sheet[top : top + height, left : left + width] = _enlarged(picture, factor)
    return _image(sheet)


def _enlarged(picture: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return it enlarged smoothly: in an 8x8 digit one sees the strokes sooner than in its squares."""
    if factor == 1:
        return picture
    height, width, channels = picture.shape
    larger = _image(picture).resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    return np.asarray(larger).reshape(height * factor, width * factor, channels)


def _image(picture: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)


def save_grid(path: Path | str, samples: Tensor, spec: DatasetSpec) -> None:
    """Write samples in [-1, 1] as a grid in a PNG file, rounded to the data's levels."""
    save_image(Path(path), grid(quantize(samples, spec.levels), spec))


def save_image(path: Path, image: Image.Image) -> None:
    """Write an image as PNG, whole or not at all; UserError if the place cannot be written to."""
    try:
        with replacing(path) as beside:
            image.save(beside, format="PNG")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None
