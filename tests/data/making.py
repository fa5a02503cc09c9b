"""What tests of data are made of: pictures, folders of them, and data that is read whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from iddpm.config import DataConfig
from iddpm.data import Splits, open_source


def picture(size: tuple[int, int] = (8, 8), mode: str = "RGB", value: int = 100) -> Image.Image:
    image = Image.new("L", size, value).convert(mode)
    image.putpixel((0, 0), tuple([200] * len(image.getbands())) if len(image.getbands()) > 1 else 200)
    return image


def folder_of(folder: Path, **images: Image.Image) -> Path:
    for name, image in images.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path.with_suffix(".png"))
    return folder


def opened(source: str, **options: Any) -> Splits:
    return open_source(DataConfig(source=source, **options))


def everything(splits: Splits) -> np.ndarray[Any, Any]:
    return splits.train.items(np.arange(len(splits.train)))
