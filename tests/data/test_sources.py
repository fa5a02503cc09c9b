from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from iddpm.config import DataConfig
from iddpm.data import Splits, open_source, quantize, scale
from iddpm.data.scikit import Crops
from iddpm.errors import UserError


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


def test_digits_are_all_there_and_split_for_ever() -> None:
    splits = opened("digits", validation=1 / 6)
    assert splits.validation is not None
    assert len(splits.train) + len(splits.validation) == 1797
    assert splits.spec.levels == 17
    assert everything(splits).max() == 16
    held_out = splits.validation.items(np.arange(5))
    again = opened("digits", validation=1 / 6).validation
    assert again is not None
    assert np.array_equal(held_out, again.items(np.arange(5)))
    labels = splits.validation.labels(np.arange(8))
    assert labels is not None
    # A change of the split would make every published figure a different one: this pins it.
    assert labels.tolist() == [0, 5, 0, 6, 7, 8, 0, 5]


def test_photos_hold_out_a_region() -> None:
    splits = opened("photos", size=16, validation=0.2)
    assert isinstance(splits.validation, Crops)
    assert 0.2 < splits.validation.corners[:64, 0].mean() < 0.8  # the first ones are of both photographs
    train, validation = splits.train, splits.validation
    side = 16
    right_of_train = train.corners[:, 2].max() + side  # type: ignore[attr-defined]
    left_of_validation = validation.corners[:, 2].min()
    assert right_of_train <= left_of_validation
    assert train.items(np.array([0, len(train) - 1])).shape == (2, 3, 16, 16)
    with pytest.raises(UserError, match="do not fit"):
        opened("photos", size=200)
    with pytest.raises(UserError, match="RGB"):
        opened("photos", channels=1)


def test_folders_recurse_and_sub_folders_are_classes(tmp_path: Path) -> None:
    folder_of(tmp_path, cats__a=picture(), cats__deep__b=picture(), dogs__c=picture(), dogs__d=picture())
    splits = opened(f"folder:{tmp_path}", validation=0.0)
    assert splits.spec.class_names == ("cats", "deep", "dogs")
    assert len(splits.train) == 4
    assert splits.validation is None


def test_names_before_an_underscore_are_classes(tmp_path: Path) -> None:
    folder_of(tmp_path, cat_1=picture(), dog_1=picture(), dog_2=picture())
    splits = opened(f"folder:{tmp_path}", validation=0.0)
    labels = splits.train.labels(np.arange(3))
    assert labels is not None
    assert splits.spec.class_names == ("cat", "dog")
    assert labels.tolist() == [0, 1, 1]


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


def test_a_zip_is_read_like_its_folder(tmp_path: Path) -> None:
    folder_of(tmp_path / "f", a__1=picture(value=10), b__2=picture(value=20))
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        for path in (tmp_path / "f").rglob("*.png"):
            archive.write(path, path.relative_to(tmp_path / "f"))
    from_zip = opened(f"zip:{tmp_path}/f.zip", validation=0.0)
    from_folder = opened(f"folder:{tmp_path}/f", validation=0.0)
    assert np.array_equal(everything(from_zip), everything(from_folder))
    assert from_zip.spec == from_folder.spec


def test_decoded_images_are_cached_until_the_source_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(tmp_path / "f", a=picture(value=10), b=picture(value=20))
    source = f"folder:{tmp_path / 'f'}"
    calls: list[str] = []

    def count(what: str, done: int, of: int) -> None:
        calls.append(what)

    for expected in (True, False):
        calls.clear()
        open_source(DataConfig(source=source, validation=0.0), count)
        assert bool(calls) is expected
    picture(value=99).save(tmp_path / "f" / "a.png")
    os.utime(tmp_path / "f" / "a.png", ns=(1, 1))
    splits = open_source(DataConfig(source=source, validation=0.0), count)
    assert calls
    assert everything(splits)[0, 0, 4, 4] == 99
    folder_of(tmp_path / "f", c=picture())
    assert len(opened(source, validation=0.0).train) == 3
    entries = list((tmp_path / "cache").iterdir())
    assert len(entries) == 1  # replaced, not piled up


def test_a_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    folder_of(tmp_path / "f", a=picture(), b=picture())
    source = f"folder:{tmp_path / 'f'}"
    opened(source, validation=0.0)
    (array,) = (tmp_path / "cache").rglob("items.npy")
    array.write_bytes(array.read_bytes()[:40])
    assert len(opened(source, validation=0.0).train) == 2


def refuse_folder(tmp_path: Path) -> dict[str, tuple[str, str]]:
    """Name -> (source, what the error says)."""
    (tmp_path / "empty").mkdir()
    folder_of(tmp_path / "mixed", a=picture(mode="L"), b=picture(mode="RGB"))
    folder_of(tmp_path / "sizes", a=picture((8, 8)), b=picture((9, 8)))
    folder_of(tmp_path / "one", a=picture())
    folder_of(tmp_path / "cut", a=picture((64, 64)), b=picture((64, 64)))
    whole = (tmp_path / "cut" / "a.png").read_bytes()
    (tmp_path / "cut" / "a.png").write_bytes(whole[: len(whole) // 2])
    folder_of(tmp_path / "text", a=picture())
    (tmp_path / "text" / "b.png").write_text("hello")
    (tmp_path / "bad.zip").write_bytes(b"PK nothing")
    np.save(tmp_path / "float.npy", np.zeros((4, 8, 8)))
    np.save(tmp_path / "high.npy", np.full((4, 8, 8), 20, dtype=np.int64))
    np.save(tmp_path / "shape.npy", np.zeros(4, dtype=np.uint8))
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 cut short")
    (tmp_path / "objects.npy").write_bytes(b"")
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "names.npz", stuff=np.zeros((4, 8, 8), dtype=np.uint8))
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps([1, 2]))
    return {
        "missing": ("folder:nowhere", "nowhere does not exist"),
        "unknown": ("celeba", '"celeba" is not known; use digits'),
        "bare path": (str(tmp_path / "mixed"), "use folder:"),
        "empty": (f"folder:{tmp_path}/empty", "holds no images"),
        "mixed": (f"folder:{tmp_path}/mixed", "mixes 1 grey .a.png. and 1 colour images .b.png.; use --data.channels"),
        "sizes": (f"folder:{tmp_path}/sizes", "differ in size .*--data.size"),
        "one": (f"folder:{tmp_path}/one", "cannot be split"),
        "cut": (f"folder:{tmp_path}/cut", r"1 of 2 images cannot be used: a.png .*--data.skip-broken"),
        "text": (f"folder:{tmp_path}/text", r"b.png is no image.*--data.skip-broken"),
        "file as folder": (f"folder:{tmp_path}/bad.zip", "needs a folder"),
        "folder as zip": (f"zip:{tmp_path}/one", "needs a file"),
        "bad zip": (f"zip:{tmp_path}/bad.zip", "no zip archive"),
        "float": (f"npy:{tmp_path}/float.npy", "quantize it to integers"),
        "high": (f"npy:{tmp_path}/high.npy", "--data.levels 21"),
        "shape": (f"npy:{tmp_path}/shape.npy", "data.dimensions"),
        "cut npz": (f"npz:{tmp_path}/cut.npz", "damaged"),
        "objects": (f"npy:{tmp_path}/objects.npy", "Python objects"),
        "names": (f"npz:{tmp_path}/names.npz", "holds stuff; the items must be called images"),
        "pickle": (f"npy:{tmp_path}/pickle.npy", "Python objects|no array"),
    }


CASES = [
    "missing", "unknown", "bare path", "empty", "mixed", "sizes", "one", "cut", "text", "file as folder",
    "folder as zip", "bad zip", "float", "high", "shape", "cut npz", "objects", "names", "pickle",
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_sources_are_one_line_with_a_way_out(tmp_path: Path, case: str) -> None:
    source, message = refuse_folder(tmp_path)[case]
    with pytest.raises(UserError, match=message) as caught:
        opened(source, levels=17 if case == "high" else None)
    assert "\n" not in str(caught.value)
    cache = tmp_path / "cache"
    assert not cache.exists() or not list(cache.glob("building-*"))  # nothing half-written


def test_broken_images_can_be_left_out_and_are_listed(tmp_path: Path) -> None:
    folder_of(tmp_path, a=picture((16, 16)), b=picture((16, 16)), c=picture((16, 16)), small=picture((4, 4)))
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:60])
    (tmp_path / "text.png").write_text("hello")
    left_out: list[str] = []
    config = DataConfig(source=f"folder:{tmp_path}", size=8, skip_broken=True, validation=0.0)
    splits = open_source(config, warn=left_out.append)
    assert len(splits.train) == 2
    assert [line.split(":")[0] for line in left_out] == ["b.png", "small.png", "text.png"]
    assert "4x4 pixels, smaller than 8x8" in left_out[1]
    again: list[str] = []
    open_source(config, warn=again.append)
    assert again == left_out  # from the cache, too


def test_broken_members_of_a_zip_are_listed(tmp_path: Path) -> None:
    folder_of(tmp_path / "f", a=picture(), b=picture(), c=picture())
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        for path in sorted((tmp_path / "f").iterdir()):
            archive.write(path, path.name)
        at = archive.getinfo("b.png").header_offset + 60
    data = bytearray((tmp_path / "f.zip").read_bytes())
    data[at] ^= 255
    (tmp_path / "f.zip").write_bytes(data)
    with pytest.raises(UserError, match=r"b.png cannot be read"):
        opened(f"zip:{tmp_path}/f.zip")
    assert len(opened(f"zip:{tmp_path}/f.zip", skip_broken=True, validation=0.0).train) == 2


def test_sixteen_bits_are_always_sixteen(tmp_path: Path) -> None:
    for name, value in (("a", 200), ("b", 300), ("c", 65535)):
        Image.fromarray(np.full((8, 8), value, dtype=np.uint16)).save(tmp_path / f"{name}.png")
    items = everything(opened(f"folder:{tmp_path}", validation=0.0))
    assert [int(item.max()) for item in items] == [1, 1, 255]


def test_labels_must_be_numbers_of_classes(tmp_path: Path) -> None:
    images = np.zeros((3, 8, 8), dtype=np.uint8)
    for labels, message in (
        (["a", "b", "c"], "number the classes"),
        ([0.5, 1, 2], "number the classes"),
        ([0, 1], "for each of 3"),
        ([0, 1, 2**40], "below"),
    ):
        np.savez(tmp_path / "a.npz", images=images, labels=np.array(labels))
        with pytest.raises(UserError, match=message):
            opened(f"npz:{tmp_path}/a.npz")
    with pytest.raises(UserError, match="use npz:"):
        opened(f"npy:{tmp_path}/a.npz")
    np.save(tmp_path / "none.npy", np.zeros((3, 0, 8), dtype=np.uint8))
    with pytest.raises(UserError, match="no items"):
        opened(f"npy:{tmp_path}/none.npy")


@pytest.mark.parametrize("name", ["images", "arr_0"])
def test_npz_holds_items_and_labels(tmp_path: Path, name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", **{name: images, "labels": np.array([0, 1, 2, 0, 1, 2])})
    splits = opened(f"npz:{tmp_path}/a.npz", validation=0.0)
    assert splits.spec.shape == (3, 8, 8)
    assert splits.spec.class_names == ("0", "1", "2")
    assert np.array_equal(everything(splits), images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("shape", "dimensions", "channels_first", "expected"),
    [
        ((5, 16), 1, False, (1, 16)),
        ((5, 16, 2), 1, False, (2, 16)),
        ((5, 2, 16), 1, True, (2, 16)),
        ((5, 4, 8, 8), 3, False, (1, 4, 8, 8)),
        ((5, 4, 8, 8, 2), 3, False, (2, 4, 8, 8)),
        ((5, 8, 8), 2, False, (1, 8, 8)),
    ],
)
def test_arrays_of_any_dimension(
    tmp_path: Path, shape: tuple[int, ...], dimensions: int, channels_first: bool, expected: tuple[int, ...]
) -> None:
    np.save(tmp_path / "a.npy", np.ones(shape, dtype=np.uint8))
    splits = opened(f"npy:{tmp_path}/a.npy", dimensions=dimensions, channels_first=channels_first)
    assert splits.spec.shape == expected
    assert splits.validation is not None
    assert len(splits.validation) == 1


@pytest.mark.parametrize("levels", [2, 17, 256, 65536])
def test_scaling_and_rounding_are_inverse(levels: int) -> None:
    items = np.arange(levels).astype(np.uint8 if levels <= 256 else np.uint16)
    x = scale(items, levels)
    assert x.min() == -1
    assert x.max() == pytest.approx(1)
    assert np.array_equal(quantize(x, levels), items)
    assert np.array_equal(quantize(x + 0.49 * 2 / (levels - 1), levels), items)  # rounded, not truncated
    assert np.array_equal(quantize(x - 0.49 * 2 / (levels - 1), levels), items)


def test_a_link_that_leads_nowhere_is_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(folder / "a.png")
    (folder / "b.png").symlink_to(tmp_path / "nothing.png")
    with pytest.raises(UserError, match="1 of 2 images cannot be used: b.png cannot be read"):
        open_source(DataConfig(source=f"folder:{folder}", validation=0.0))
