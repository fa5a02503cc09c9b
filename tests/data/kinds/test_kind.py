from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from iddpm.checkpoints.run import RunDirectory
from iddpm.cli.main import main
from iddpm.config import DataConfig, DatasetSpec
from iddpm.data import ArrayDataset, Splits, split
from iddpm.data.kinds import Kind, kind_of
from iddpm.data.kinds.kind import Header
from iddpm.data.kinds.pictures import Pictures
from iddpm.data.kinds.sounds import Sounds
from iddpm.data.kinds.volumes import Volumes
from iddpm.data.sources.source import Source
from iddpm.errors import UserError
from iddpm.names import KINDS, SOURCES
from iddpm.progress import Work, ready
from tests.cli.test_journeys import TINY_FLAGS
from tests.data.making import everything, opened


class Boards(Kind):
    """Game boards, 8x8 of three levels, in text files."""

    endings = (".board",)

    def shown(self, items: np.ndarray[Any, Any], levels: int) -> np.ndarray[Any, Any]:
        return np.repeat((items[:, 0, :, :, None] * 100).astype(np.uint8), 3, axis=3)

    def write(self, path: Path, item: np.ndarray[Any, Any], levels: int) -> None:
        path.write_text("\n".join("".join(map(str, row)) for row in item[0]))

    def header(self, data: bytes) -> Header:
        return Header((8, 8), 1, levels=3)

    def decode(self, data: bytes, spec: DatasetSpec, resize_filter: str) -> np.ndarray[Any, Any]:
        return np.array([[list(map(int, row)) for row in data.decode().split()]], dtype=np.uint8)


class RandomBoards(Source):
    """Boards at random."""

    def open(self, config: DataConfig, path: Path) -> Work[Splits]:
        spec = DatasetSpec(channels=1, size=(8, 8), levels=3, kind="boards")
        boards = np.random.default_rng(0).integers(0, 3, (60, 1, 8, 8)).astype(np.uint8)
        return ready(split(ArrayDataset(spec, boards), config.validation))


@pytest.fixture
def _boards() -> Iterator[None]:
    KINDS.register("boards", Boards)
    SOURCES.register("random-boards", RandomBoards, path=None)
    yield
    KINDS.unregister("boards")
    SOURCES.unregister("random-boards")


def test_a_kind_goes_by_its_name_or_by_the_dimensions() -> None:
    kinds = [kind_of(DatasetSpec(channels=1, size=(4,) * dimensions)) for dimensions in (1, 2, 3)]
    assert [type(kind) for kind in kinds] == [Sounds, Pictures, Volumes]
    assert isinstance(kind_of(DatasetSpec(channels=1, size=(4, 4), kind="sounds")), Sounds)
    with pytest.raises(UserError, match="data of 4 dimensions is of no known kind"):
        kind_of(DatasetSpec(channels=1, size=(4,) * 4))


@pytest.mark.usefixtures("_boards")
def test_a_kind_from_outside_is_drawn_and_written_and_read(tmp_path: Path) -> None:
    source = ["--data.source", "random-boards", "--data.levels", "3", "--data.num-classes", "None"]
    run = str(tmp_path / "run")
    assert main(["train", "digits", *source, "--run", run, *TINY_FLAGS]) == 0
    assert RunDirectory(Path(run)).read_config()[1].kind == "boards"
    for out in ("grid.png", "boards"):
        assert main(["sample", run, "--count", "4", "--steps", "2", "--out", str(tmp_path / out)]) == 0
    with Image.open(tmp_path / "grid.png") as image:
        assert image.mode == "RGB"  # only Boards shows one channel in colour
    assert sorted(path.name for path in (tmp_path / "boards").iterdir()) == [f"{i:06d}.board" for i in range(4)]
    splits = opened(f"folder:{tmp_path}/boards", validation=0.0)
    assert splits.spec == DatasetSpec(channels=1, size=(8, 8), levels=3, kind="boards")
    assert everything(splits).max() <= 2
