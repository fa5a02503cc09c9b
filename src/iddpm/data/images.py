"""Pictures of any kind as arrays of one shape."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from iddpm.config import DataConfig, DatasetSpec
from iddpm.data.cache import CacheEntry
from iddpm.data.dataset import ArrayDataset
from iddpm.data.files import ImageFiles, class_of_each
from iddpm.errors import UserError

FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}
GREY_MODES = {"1", "L", "LA", "La", "I", "F"}
Result = TypeVar("Result")
Progress = Callable[[str, int, int], None]
"""(what is being done, how many are done, of how many)."""


def image_dataset(config: DataConfig, files: ImageFiles, progress: Progress) -> tuple[ArrayDataset, list[str]]:
    """The images as one array, decoded once (see `cache`), and a line for each that was left out.

    UserError where an image cannot be read (unless `skip_broken`), where grey and colour mix, or sizes differ
    without `data.size`.
    """
    if not files.names:
        raise UserError(f"data.source: {config.source} holds no images (png, jpg, webp or bmp); name another place")
    settings = config.model_dump(include={"size", "channels", "skip_broken", "resize_filter"})
    entry = CacheEntry(_absolute(config.source), settings, files.fingerprint())
    found = entry.load()
    if found is None:
        entry.store(lambda folder: _decode_all(config, files, folder, progress))
        found = entry.load()
        assert found is not None
    array, labels, notes = found
    spec = DatasetSpec(channels=array.shape[1], size=array.shape[2:], levels=256, class_names=notes["class_names"])
    return ArrayDataset(spec, array, labels), notes["left_out"]


def _absolute(source: str) -> str:
    kind, _, path = source.partition(":")
    return f"{kind}:{Path(path).resolve()}"


@dataclass(frozen=True)
class Header:
    """What is known of an image without decoding it; `trouble` says why it cannot be used."""

    name: str
    size: tuple[int, int] = (0, 0)
    is_grey: bool = False
    trouble: str = ""


def _decode_all(
    config: DataConfig, files: ImageFiles, folder: Path, progress: Progress
) -> tuple[NDArray[np.int64] | None, dict[str, Any]]:
    headers = list(_in_threads(partial(_header, files), files.names, "reading headers", progress))
    usable = [header for header in headers if not header.trouble]
    troubles = {header.name: header.trouble for header in headers if header.trouble}
    if usable:
        channels = _common_channels(config, usable)
        height, width = _common_size(config, usable)
        for header in usable:
            if min(header.size) < min(height, width):
                troubles[header.name] = f"{header.size[0]}x{header.size[1]} pixels, smaller than {width}x{height}"
    _refuse(config, troubles, len(headers))

    names = [name for name in files.names if name not in troubles]
    array = np.lib.format.open_memmap(
        folder / "items.npy", mode="w+", dtype=np.uint8, shape=(len(names), channels, height, width)
    )
    kept: list[str] = []
    decode = partial(_decode, files, channels, (width, height), config)
    for name, image in zip(names, _in_threads(decode, names, "decoding images", progress), strict=True):
        if isinstance(image, str):
            troubles[name] = image
        else:
            array[len(kept)] = image
            kept.append(name)
    array.flush()
    _refuse(config, troubles, len(headers))
    if len(kept) < len(names):
        np.save(folder / "fewer.npy", array[: len(kept)])
        (folder / "fewer.npy").replace(folder / "items.npy")
    classes = class_of_each(kept)
    class_names = sorted(set(classes or []))
    position = {name: label for label, name in enumerate(class_names)}
    labels = np.array([position[name] for name in classes], dtype=np.int64) if classes else None
    left_out = [f"{name}: {trouble}" for name, trouble in sorted(troubles.items())]
    return labels, {"class_names": class_names, "left_out": left_out}


def _header(files: ImageFiles, name: str) -> Header:
    try:
        with Image.open(io.BytesIO(files.read(name))) as image:
            turned = image.getexif().get(0x0112, 1) >= 5  # orientations that swap width and height
            size = (image.height, image.width) if turned else (image.width, image.height)
            return Header(name, size, _is_grey(image))
    except Exception as error:  # bytes from anywhere: decoders fail in many ways
        return Header(name, trouble=_why(error))


def _is_grey(image: Image.Image) -> bool:
    if image.mode == "P":
        colours = image.convert("RGBA").convert("RGB").getcolors(256) or []
        return all(red == green == blue for _, (red, green, blue) in colours)  # type: ignore[misc]
    return image.mode in GREY_MODES or image.mode.startswith("I;16")


def _why(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "is no image"
    return f"cannot be read ({str(error).splitlines()[0]})" if str(error) else "cannot be read"


def _common_channels(config: DataConfig, headers: list[Header]) -> int:
    if config.channels is not None:
        return config.channels
    grey = [header.name for header in headers if header.is_grey]
    colour = [header.name for header in headers if not header.is_grey]
    if grey and colour:
        raise UserError(
            f"data.channels: {config.source} mixes {len(grey)} grey ({grey[0]}) and {len(colour)} colour images"
            f" ({colour[0]}); use --data.channels 1 or 3"
        )
    return 1 if grey else 3


def _common_size(config: DataConfig, headers: list[Header]) -> tuple[int, int]:
    if config.size is not None:
        return config.size, config.size
    sizes = Counter(header.size for header in headers)
    if len(sizes) > 1:
        (first, _), (second, _) = sizes.most_common(2)
        raise UserError(
            f"data.size: images in {config.source} differ in size ({first[0]}x{first[1]}, {second[0]}x{second[1]},"
            " ...); use e.g. --data.size 32 to resize and crop them"
        )
    width, height = headers[0].size
    return height, width


def _refuse(config: DataConfig, troubles: dict[str, str], count: int) -> None:
    if len(troubles) == count:
        examples = {trouble: name for name, trouble in troubles.items()}
        reasons = [f"{name} {trouble}" for trouble, name in examples.items()]
        shown = "; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} more reasons" if len(reasons) > 3 else "")
        raise UserError(
            f"data.source: none of the {count} images in {config.source} can be used: {shown};"
            " name other images, or with --data.size a size that these have"
        )
    if troubles and not config.skip_broken:
        shown = "; ".join(f"{name} {trouble}" for name, trouble in list(troubles.items())[:5])
        more = f"; and {len(troubles) - 5} more" if len(troubles) > 5 else ""
        raise UserError(
            f"data.source: {len(troubles)} of {count} images cannot be used: {shown}{more};"
            " mend them, or go on without them: --data.skip-broken"
        )


def _decode(
    files: ImageFiles, channels: int, size: tuple[int, int], config: DataConfig, name: str
) -> NDArray[np.uint8] | str:
    """The image as `[channels, height, width]`, or why not."""
    try:
        with Image.open(io.BytesIO(files.read(name))) as raw:
            image = _flattened(ImageOps.exif_transpose(raw), "L" if channels == 1 else "RGB")
    except Exception as error:
        return _why(error)
    if image.size != size:
        image = ImageOps.fit(image, size, method=FILTERS[config.resize_filter])
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _flattened(image: Image.Image, mode: str) -> Image.Image:
    """In `mode` ("L" or "RGB"); what is transparent becomes white, 16 bits become 8."""
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


def _in_threads(work: Callable[[str], Result], names: list[str], what: str, progress: Progress) -> Iterator[Result]:
    done = 0
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(names), 1024):  # a pool's map would decode everything before it is written
            for result in pool.map(work, names[start : start + 1024]):
                done += 1
                progress(what, done, len(names))
                yield result
