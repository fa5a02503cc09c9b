"""Pictures: items of two dimensions, height and width."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from iddpm.config import DatasetSpec
from iddpm.data.kinds.kind import FileKind, Header, spread
from iddpm.data.scaling import Levels
from iddpm.errors import Setting, UserError

FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}
GREY_MODES = {"1", "L", "LA", "La", "I", "F"}


class Pictures(FileKind):
    """Pictures, grey or RGB; of other numbers of channels the first one is shown."""

    endings = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
    can_mirror = True

    def shown(self, items: Levels, levels: int) -> NDArray[np.uint8]:
        channels = items if items.shape[1] in (1, 3) else items[:, :1]
        return spread(channels, levels).transpose(0, 2, 3, 1)

    def check(self, spec: DatasetSpec) -> None:
        if spec.channels not in (1, 3):
            raise UserError(
                "files of pictures have 1 or 3",
                field="data.channels",
                value=spec.channels,
                way=["use ", Setting("data.channels", 1), ", ", Setting("data.channels", 3), " or an array"],
            )

    def write(self, path: Path, item: Levels, levels: int) -> None:
        picture = self.shown(item[None], levels)[0]
        Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture).save(path)

    def header(self, data: bytes) -> Header:
        try:
            with Image.open(io.BytesIO(data)) as image:
                turned = image.getexif().get(0x0112, 1) >= 5  # orientations that swap height and width
                size = (image.width, image.height) if turned else (image.height, image.width)
                return Header(size, 1 if _is_grey(image) else 3)
        except UnidentifiedImageError:
            raise UserError("is no picture") from None

    def decode(self, data: bytes, spec: DatasetSpec, resize_filter: str) -> Levels:
        with Image.open(io.BytesIO(data)) as raw:
            image = _flattened(ImageOps.exif_transpose(raw), "L" if spec.channels == 1 else "RGB")
        height, width = spec.size
        if image.size != (width, height):
            image = ImageOps.fit(image, (width, height), method=FILTERS[resize_filter])
        pixels = np.asarray(image, dtype=np.uint8)
        return pixels[None] if spec.channels == 1 else pixels.transpose(2, 0, 1)


def _is_grey(image: Image.Image) -> bool:
    if image.mode == "P":
        colours = image.convert("RGBA").convert("RGB").getcolors(256) or []
        return all(red == green == blue for _, (red, green, blue) in colours)  # type: ignore[misc]
    return image.mode in GREY_MODES or image.mode.startswith("I;16")


def _flattened(image: Image.Image, mode: str) -> Image.Image:
    """Return it in `mode` ("L" or "RGB"); what is transparent becomes white, 16 bits become 8."""
    if image.mode.startswith("I"):
        wide = np.asarray(image.convert("I"), dtype=np.int64)
        image = Image.fromarray((wide / 257).round().clip(0, 255).astype(np.uint8))
    elif image.mode == "F":
        image = Image.fromarray(np.asarray(image).clip(0, 255).round().astype(np.uint8))
    if image.has_transparency_data:
        visible = image.convert("RGBA")
        white = Image.new("RGBA", visible.size, "white")
        image = Image.alpha_composite(white, visible)
    return image.convert(mode)
