from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iddpm.config import DataConfig
from iddpm.data.opening import heeded, origin
from iddpm.errors import UserError
from iddpm.files import cache_folder
from tests.data.making import folder_of, opened, picture


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
        "empty": (f"folder:{tmp_path}/empty", "holds no items .png, jpg, jpeg, webp, bmp, wav."),
        "mixed": (
            f"folder:{tmp_path}/mixed",
            "1 .a.png. and 3 .b.png.; use data.channels=1 or data.channels=3",
        ),
        "sizes": (f"folder:{tmp_path}/sizes", "differ in size .8x8, 8x9, ....; use e.g. data.size=32"),
        "one": (f"folder:{tmp_path}/one", "cannot be split"),
        "cut": (f"folder:{tmp_path}/cut", r"1 of 2 files cannot be used: a.png .*data.skip_broken=True"),
        "text": (f"folder:{tmp_path}/text", r"b.png is no picture.*data.skip_broken=True"),
        "file as folder": (f"folder:{tmp_path}/bad.zip", "is a file; give a folder"),
        "folder as zip": (f"zip:{tmp_path}/one", "is a folder; give a file"),
        "bad zip": (f"zip:{tmp_path}/bad.zip", "no zip archive"),
        "float": (f"npy:{tmp_path}/float.npy", "quantize it to integers"),
        "high": (f"npy:{tmp_path}/high.npy", "got 17; use data.levels=21 or scale"),
        "shape": (f"npy:{tmp_path}/shape.npy", "data.dimensions"),
        "cut npz": (f"npz:{tmp_path}/cut.npz", "damaged"),
        "objects": (f"npy:{tmp_path}/objects.npy", "Python objects"),
        "names": (f"npz:{tmp_path}/names.npz", "holds stuff; call the items images"),
        "pickle": (f"npy:{tmp_path}/pickle.npy", "Python objects|no array"),
    }


CASES = [
    "missing", "unknown", "empty", "mixed", "sizes", "one", "cut", "text", "file as folder",
    "folder as zip", "bad zip", "float", "high", "shape", "cut npz", "objects", "names", "pickle",
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_sources_are_one_line_with_a_way_out(tmp_path: Path, case: str) -> None:
    source, message = refuse_folder(tmp_path)[case]
    with pytest.raises(UserError, match=message) as caught:
        opened(source, levels=17 if case == "high" else None)
    assert "\n" not in str(caught.value)
    cache = cache_folder()
    assert not cache.exists() or not list(cache.glob("building-*"))  # nothing half-written


def test_a_source_is_a_name_a_name_with_a_path_or_a_path(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "a.NPZ").write_text("")
    (tmp_path / "a.txt").write_text("")
    for source, parts in (
        ("digits", ("digits", "")),
        ("folder:here", ("folder", "here")),
        (f"{tmp_path}/f", ("folder", f"{tmp_path}/f")),
        (f"{tmp_path}/a.NPZ", ("npz", f"{tmp_path}/a.NPZ")),
    ):
        assert origin(source) == parts
    for source in ("celeba", "folder", "folder:", "digits:x", f"{tmp_path}/a.txt", f"{tmp_path}/missing.npz"):
        with pytest.raises(UserError, match="is not known; use digits, photos, folder:PATH, .* or npy:PATH"):
            origin(source)


def test_other_data_is_read_by_what_its_source_heeds() -> None:
    own = DataConfig(source="folder:x", size=8, channels=1, levels=17, validation=0.5, flip=True, num_classes=3)
    kept = {"validation": 0.5, "num_classes": 3}
    assert heeded(own) == DataConfig(source="folder:x", size=8, channels=1, **kept)
    assert heeded(own.model_copy(update={"source": "npy:x"})) == DataConfig(source="npy:x", levels=17, **kept)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"size": 9}, "data.size: is 8x8 in digits, got 9x9; use data.size="),
        ({"size": (8, 4)}, "data.size: is 8x8 in digits, got 8x4"),
        ({"channels": 3}, "data.channels: is 1 in digits, got 3; use data.channels=1"),
        ({"levels": 256}, "data.levels: is 17 in digits, got 256; use data.levels=17"),
        ({"dimensions": 1}, "data.dimensions: is 2 in digits, got 1; use data.dimensions=2"),
        ({"num_classes": 9}, "data.num_classes: is 10 in digits, got 9; use data.num_classes=10"),
    ],
)
def test_what_is_stated_must_be_so(stated: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        opened("digits", **stated)
