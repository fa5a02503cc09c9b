"""Sounds: items of one dimension, time."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iddpm.config import DatasetSpec
from iddpm.data.kinds.kind import FileKind, Header, spread
from iddpm.data.scaling import Levels
from iddpm.errors import UserError

HEIGHT = 48
"""Pixels of the picture of a sound."""
RATE = 16_000
"""Frames a second that written files claim, since data does not say how fast it is."""


class Sounds(FileKind):
    """Sounds, shown as the curve of their first channel; files are WAV of 8 bits, or of 16 for more than 256 levels."""

    endings = (".wav",)

    def shown(self, items: Levels, levels: int) -> NDArray[np.uint8]:
        count, _, length = items.shape
        rows = HEIGHT - 1 - (items[:, 0].astype(np.int64) * (HEIGHT - 1)) // (levels - 1)
        drawn = np.full((count, HEIGHT, length, 1), 255, dtype=np.uint8)
        drawn[np.arange(count)[:, None], rows, np.arange(length)[None], 0] = 0
        return drawn

    def write(self, path: Path, item: Levels, levels: int) -> None:
        wide = spread(item.T, levels, 256 if levels <= 256 else 65536)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(len(item))
            file.setframerate(RATE)
            file.setsampwidth(wide.itemsize)
            file.writeframes((wide if levels <= 256 else (wide ^ 0x8000).astype("<u2")).tobytes())

    def header(self, data: bytes) -> Header:
        with wave.open(io.BytesIO(data)) as file:
            return Header((file.getnframes(),), file.getnchannels(), 256 if file.getsampwidth() == 1 else 65536)

    def decode(self, data: bytes, spec: DatasetSpec, resize_filter: str) -> Levels:
        with wave.open(io.BytesIO(data)) as file:
            channels, width = file.getnchannels(), file.getsampwidth()
            values = np.frombuffer(file.readframes(file.getnframes()), np.uint8).reshape(-1, channels, width)
        if channels != spec.channels:
            raise UserError(f"has {channels} channels, not {spec.channels}")
        if width == 1:
            sound = spread(values[:, :, 0], 256, spec.levels)
        else:  # the highest 16 bits: a sign and 15 more
            sound = np.ascontiguousarray(values[:, :, -2:]).view("<u2")[:, :, 0] ^ np.uint16(0x8000)
        start = (len(sound) - spec.size[0]) // 2
        return sound[start : start + spec.size[0]].T
