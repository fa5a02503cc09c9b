"""A kind of data: texts, shown as lines of letters and written to files; and a source of English ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from iddpm.config import DataConfig, DatasetSpec
from iddpm.data import ArrayDataset, Splits, split
from iddpm.data.kinds import FileKind, Header
from iddpm.data.sources import Source
from iddpm.names import KINDS, SOURCES
from iddpm.progress import Work, ready

LETTER = (7, 14)
"""Width and height of a letter in a picture."""


class Texts(FileKind):
    """Texts of one length in ASCII: one channel of 128 levels."""

    endings = (".txt",)

    def shown(self, items: Any, levels: int) -> Any:
        return np.stack([self._drawn(bytes(item[0].astype(np.uint8)).decode("ascii")) for item in items])

    def _drawn(self, text: str) -> Any:
        image = Image.new("L", (LETTER[0] * len(text), LETTER[1]), "white")
        ImageDraw.Draw(image).text((0, 1), "".join(c if c.isprintable() else "?" for c in text), fill="black")
        return np.asarray(image)[..., None]

    def write(self, path: Path, item: Any, levels: int) -> None:
        path.write_bytes(bytes(item[0].astype(np.uint8)))

    def header(self, data: bytes) -> Header:
        return Header((len(data),), 1, 128)

    def decode(self, data: bytes, spec: DatasetSpec, resize_filter: str) -> Any:
        return np.frombuffer(data, np.uint8)[None, : spec.size[0]]


class Topics(Source):
    """Parts of Python's own documentation, of 16 letters each."""

    def open(self, config: DataConfig, path: Path) -> Work[Splits]:
        from pydoc_data.topics import topics

        letters = np.frombuffer("".join(topics.values()).encode("ascii", "replace"), np.uint8)[:16_000]
        spec = DatasetSpec(channels=1, size=(16,), levels=128, kind="texts")
        return ready(split(ArrayDataset(spec, letters.reshape(-1, 1, 16)), config.validation))


KINDS.register("texts", Texts, "letters of ASCII")
SOURCES.register("topics", Topics, "texts about Python")
