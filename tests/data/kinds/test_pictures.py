from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iddpm.data.kinds.pictures import Pictures
from iddpm.errors import UserError
from tests.data.making import everything, folder_of, opened, picture


def test_pictures_of_every_kind_become_arrays(tmp_path: Path) -> None:
    rgba = picture(mode="RGBA")
    rgba.putpixel((3, 3), (0, 0, 0, 0))
    wide = Image.fromarray(np.full((8, 8), 65535, dtype=np.uint16))
    folder_of(tmp_path, rgb=picture(), palette=picture().convert("P"), alpha=rgba, grey=picture(mode="L"), deep=wide)
    for name in ("photo.jpg", "photo.webp", "photo.bmp"):
        picture().save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a picture")
    splits = opened(f"folder:{tmp_path}", channels=3, validation=0.0)
    names = sorted(path.name for path in tmp_path.iterdir() if path.is_file() and path.suffix != ".txt")
    items = dict(zip(names, everything(splits), strict=True))
    assert len(items) == 8
    assert items["alpha.png"][:, 3, 3].tolist() == [255, 255, 255]  # what is transparent is white
    assert np.abs(items["palette.png"][:, 4, 4].astype(int) - 100).max() < 5  # a palette is coarse
    assert items["grey.png"][:, 0, 0].tolist() == [200, 200, 200]
    assert items["deep.png"].min() == 255
    grey = opened(f"folder:{tmp_path}", channels=1, validation=0.0)
    assert grey.spec.shape == (1, 8, 8)


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 8), "black")
    image.paste("white", (0, 0, 8, 8))  # white on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned right by a quarter: white on top
    image.save(tmp_path / "a.png", exif=exif)
    image.save(tmp_path / "b.png", exif=exif)
    item = everything(opened(f"folder:{tmp_path}", validation=0.0))[0]
    assert item.shape == (3, 16, 8)
    assert item[0, 0, 0] == 255
    assert item[0, 15, 7] == 0


def test_images_are_made_smaller_without_aliasing_and_centred(tmp_path: Path) -> None:
    stripes = np.zeros((64, 128), dtype=np.uint8)
    stripes[:, ::2] = 255
    for name in "ab":
        Image.fromarray(stripes).save(tmp_path / f"{name}.png")
    item = everything(opened(f"folder:{tmp_path}", size=8, validation=0.0))[0]
    assert item.shape == (1, 8, 8)
    assert np.abs(item.astype(int) - 127).max() < 12  # every other column dropped would give 0 or 255


def test_sixteen_bits_are_always_sixteen(tmp_path: Path) -> None:
    for name, value in (("a", 200), ("b", 300), ("c", 65535)):
        Image.fromarray(np.full((8, 8), value, dtype=np.uint16)).save(tmp_path / f"{name}.png")
    items = everything(opened(f"folder:{tmp_path}", validation=0.0))
    assert [int(item.max()) for item in items] == [1, 1, 255]


def test_grey_levels_are_spread_over_a_byte() -> None:
    items = np.arange(17, dtype=np.uint8).reshape(1, 1, 1, 17)
    spread = Pictures().shown(items, 17).ravel()
    assert (spread[0], spread[8], spread[16]) == (0, 128, 255)


def test_pictures_of_other_numbers_of_channels_show_the_first() -> None:
    items = np.arange(8, dtype=np.uint8).reshape(1, 4, 1, 2)
    assert Pictures().shown(items, 256).tolist() == [[[[0], [1]]]]


def test_files_of_pictures_have_1_or_3_channels(tmp_path: Path) -> None:
    folder_of(tmp_path, a=picture(), b=picture())
    with pytest.raises(UserError, match="data.channels: files of pictures have 1 or 3, got 4; use data.channels=1"):
        opened(f"folder:{tmp_path}", channels=4)


def test_pictures_become_of_any_size_that_is_no_larger(tmp_path: Path) -> None:
    folder_of(tmp_path, a=picture((48, 64)), b=picture((50, 80)))
    splits = opened(f"folder:{tmp_path}", size=(16, 12), validation=0.0)
    assert splits.spec.size == (16, 12)
    assert everything(splits).shape == (2, 3, 16, 12)
    with pytest.raises(UserError, match="a.png has size 64x48, smaller than 64x49"):
        opened(f"folder:{tmp_path}", size=(64, 49), validation=0.0)
