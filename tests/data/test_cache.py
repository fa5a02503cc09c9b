from __future__ import annotations

import os
from pathlib import Path

from iddpm.config import DataConfig
from iddpm.data import opening
from iddpm.files import cache_folder
from iddpm.progress import Progress, finish
from tests.data.making import everything, folder_of, opened, picture


def test_decoded_images_are_cached_until_the_source_changes(tmp_path: Path) -> None:
    folder_of(tmp_path / "f", a=picture(value=10), b=picture(value=20))
    source = f"folder:{tmp_path / 'f'}"
    config = DataConfig(source=source, validation=0.0)
    work: list[Progress] = []
    for expected in (True, False):
        work.clear()
        finish(opening(config), work.append)
        assert bool(work) is expected
    picture(value=99).save(tmp_path / "f" / "a.png")
    os.utime(tmp_path / "f" / "a.png", ns=(1, 1))
    work.clear()
    splits = finish(opening(config), work.append)
    assert work[-1] == Progress("decoding pictures", 2, 2)
    assert everything(splits)[0, 0, 4, 4] == 99
    folder_of(tmp_path / "f", c=picture())
    assert len(opened(source, validation=0.0).train) == 3
    entries = [path for path in cache_folder().iterdir() if path.name != "kernels"]
    assert len(entries) == 1  # replaced, not piled up


def test_a_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    folder_of(tmp_path / "f", a=picture(), b=picture())
    source = f"folder:{tmp_path / 'f'}"
    opened(source, validation=0.0)
    (array,) = cache_folder().rglob("items.npy")
    array.write_bytes(array.read_bytes()[:40])
    assert len(opened(source, validation=0.0).train) == 2
