"""Samples as pictures: grids with gutters, drawn large enough to see."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from iddpm.data import quantize
from iddpm.data.scaling import Levels
from iddpm.errors import UserError
from iddpm.files import replacing

GUTTER = 2
"""Pixels between the pictures of a grid, before enlarging."""
SMALLEST_TILE = 48
"""Pictures are enlarged by a whole factor to about this side on a grid: 8x8 pixels cannot be seen."""


def as_bytes(items: Levels, levels: int) -> NDArray[np.uint8]:
    """Grey levels spread over 0 ... 255, `[items, height, width, 1 or 3]`.

    A sound is drawn as a curve, and of a volume its middle slice is shown.
    """
    if items.ndim == 3:
        items = _drawn_curves(items, levels)
        levels = 256
    if items.ndim == 5:
        items = items[:, :, items.shape[2] // 2]
    if items.shape[1] not in (1, 3):
        items = items[:, :1]
    spread = (items.astype(np.float64) * (255 / (levels - 1))).round().astype(np.uint8)
    return spread.transpose(0, 2, 3, 1)


def _drawn_curves(items: Levels, levels: int, height: int = 48) -> NDArray[np.uint8]:
    count, _, length = items.shape
    rows = height - 1 - (items[:, 0].astype(np.int64) * (height - 1)) // (levels - 1)
    drawn = np.full((count, 1, height, length), 255, dtype=np.uint8)
    drawn[np.arange(count)[:, None], 0, rows, np.arange(length)[None]] = 0
    return drawn


def grid(items: Levels, levels: int, columns: int | None = None) -> Image.Image:
    """The items on one sheet, row by row, with gutters between them."""
    pictures = as_bytes(items, levels)
    count, height, width, channels = pictures.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    factor = max(1, round(SMALLEST_TILE / max(height, width)))
    pictures = _enlarged(pictures, factor)
    height, width, gutter = height * factor, width * factor, GUTTER * max(1, factor // 2)
    sheet = np.full(
        (rows * (height + gutter) + gutter, columns * (width + gutter) + gutter, channels), 96, dtype=np.uint8
    )
    for i, picture in enumerate(pictures):
        top = gutter + (i // columns) * (height + gutter)
        left = gutter + (i % columns) * (width + gutter)
        sheet[top : top + height, left : left + width] = picture
    return Image.fromarray(sheet[:, :, 0] if channels == 1 else sheet)


def _enlarged(pictures: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Smoothly: of an 8x8 digit one sees the strokes sooner than of its squares."""
    if factor == 1:
        return pictures
    _, height, width, channels = pictures.shape
    enlarged = []
    for picture in pictures:
        image = Image.fromarray(picture[:, :, 0] if channels == 1 else picture)
        larger = np.asarray(image.resize((width * factor, height * factor), Image.Resampling.BICUBIC))
        enlarged.append(larger.reshape(height * factor, width * factor, channels))
    return np.stack(enlarged)


def save_grid(path: Path | str, samples: Tensor, levels: int) -> None:
    """Samples in [-1, 1] as a grid in a PNG file, rounded to the data's levels."""
    save_image(Path(path), grid(quantize(samples, levels), levels))


def save_image(path: Path, image: Image.Image) -> None:
    """As PNG, whole or not at all; UserError where the place cannot be written to."""
    try:
        with replacing(path) as beside:
            image.save(beside, format="PNG")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None
