from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iddpm.cli.outputs import check_out, open_writer
from iddpm.config import DatasetSpec
from iddpm.data import scale
from iddpm.data.kinds import FileKind, kind_of
from iddpm.data.kinds.kind import Header
from iddpm.data.kinds.pictures import Pictures
from iddpm.data.kinds.sounds import Sounds
from iddpm.data.kinds.volumes import Volumes
from iddpm.errors import UserError
from iddpm.names import KINDS
from iddpm.pictures import grid
from tests.data.making import everything, opened


class Boards(FileKind):
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


@pytest.fixture
def _boards() -> Iterator[None]:
    KINDS.register("boards", Boards)
    yield
    KINDS.unregister("boards")


def test_a_kind_goes_by_its_name_or_by_the_dimensions() -> None:
    kinds = [kind_of(DatasetSpec(channels=1, size=(4,) * dimensions)) for dimensions in (1, 2, 3)]
    assert [type(kind) for kind in kinds] == [Sounds, Pictures, Volumes]
    assert isinstance(kind_of(DatasetSpec(channels=1, size=(4, 4), kind="sounds")), Sounds)
    with pytest.raises(UserError, match="data of 4 dimensions is of no known kind"):
        kind_of(DatasetSpec(channels=1, size=(4,) * 4))


@pytest.mark.usefixtures("_boards")
def test_a_kind_from_outside_is_shown_written_and_read(tmp_path: Path) -> None:
    spec = DatasetSpec(channels=1, size=(8, 8), levels=3, kind="boards")
    boards = np.random.default_rng(0).integers(0, 3, (4, 1, 8, 8)).astype(np.uint8)
    assert grid(boards, spec).mode == "RGB"  # only Boards shows one channel in colour
    with open_writer(tmp_path / "boards", spec, 4, None) as write:
        write(scale(boards[:2], 3))
        write(scale(boards[2:], 3))
    assert sorted(path.name for path in (tmp_path / "boards").iterdir()) == [f"{i:06d}.board" for i in range(4)]
    splits = opened(f"folder:{tmp_path}/boards", validation=0.0)
    assert splits.spec == spec
    assert np.array_equal(everything(splits), boards)


def test_what_has_no_files_is_not_written_to_a_folder(tmp_path: Path) -> None:
    for spec, reason in (
        (DatasetSpec(channels=1, size=(4, 4, 4)), "such data is not written as files"),
        (DatasetSpec(channels=4, size=(4, 4)), "files of pictures have 1 or 3, got 4"),
    ):
        with pytest.raises(UserError, match=f"out: {reason}; use NAME.npz"):
            check_out(tmp_path / "folder", spec)
