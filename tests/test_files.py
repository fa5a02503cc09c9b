from __future__ import annotations

import os
import tokenize
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from iddpm.config import DataConfig
from iddpm.data import open_source
from iddpm.errors import UserError
from iddpm.files import NOT_SUCH_ARRAYS, array_names, locked, read_arrays, replacing


def test_one_at_a_time(tmp_path: Path) -> None:
    release = locked(tmp_path / "lock", "taken")
    with pytest.raises(UserError, match="taken"):
        locked(tmp_path / "lock", "taken")
    release()
    assert not (tmp_path / "lock").exists()
    locked(tmp_path / "lock", "taken")()


def test_a_lock_that_is_removed_while_another_is_taken_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that was opened is not the one at its path any more: locking it would keep nobody out."""
    opened = os.open

    def late(path: Path, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = opened(path, flags, mode, dir_fd=dir_fd)
        if Path(path) == tmp_path / "lock" and not (tmp_path / "late").exists():
            (tmp_path / "late").touch()
            path.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", late)
    release = locked(tmp_path / "lock", "taken")
    assert (tmp_path / "lock").exists()
    release()


def test_others_may_read_what_they_may_read_of_other_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "checkpoint") as beside:
            beside.mkdir()
            save_file({"x": torch.zeros(1)}, beside / "model.safetensors")
        with replacing(tmp_path / "x.safetensors") as beside:
            save_file({"x": torch.zeros(1)}, beside)
    finally:
        os.umask(before)
    for name in ("checkpoint/model.safetensors", "x.safetensors"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o640


def archive(path: Path) -> bytes:
    """Write two arrays of 6 kB each; return the bytes."""
    np.savez(path, first=np.arange(750.0), second=np.ones(750))
    return path.read_bytes()


def changed(data: bytes, *places: tuple[int, int]) -> bytes:
    """Return other bytes at some places."""
    array = bytearray(data)
    for place, value in places:
        array[place] = value
    return bytes(array)


DIRECTORY = b"PK\x01\x02"
DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "of another kind": (lambda data: b"hello", "not a zip file"),
    "empty": (lambda data: b"", "not a zip file"),
    "cut": (lambda data: data[:-10], "not a zip file"),
    "another number": (lambda data: changed(data, (1000, 1)), "first.npy is damaged"),
    "another header of an array": (lambda data: changed(data, (data.index(b"descr"), 0)), "first.npy is damaged"),
    # What the directory says of the first member: its flags, the way it is packed, the version it needs, its place.
    "encrypted": (lambda data: changed(data, (data.index(DIRECTORY) + 8, 1)), "is encrypted"),
    "packed": (
        lambda data: changed(data, (data.index(DIRECTORY) + 10, 8), (data.index(b"\x93NUMPY"), 255)),
        "while decompressing",
    ),
    "packed in an unknown way": (lambda data: changed(data, (data.index(DIRECTORY) + 10, 99)), "not supported"),
    "for another version": (lambda data: changed(data, (data.index(DIRECTORY) + 6, 200)), "zip file version 20.0"),
    "longer than the file": (
        lambda data: changed(data, *((data.index(DIRECTORY) + place, 255) for place in (22, 26))),
        "it ends too soon",
    ),
    "before the file": (
        lambda data: changed(data, (len(data) - 4, 255)),
        "Invalid argument",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_arrays_are_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    path = tmp_path / "arrays.npz"
    damage, reason = DAMAGE[name]
    path.write_bytes(damage(archive(path)))
    with pytest.raises(ValueError, match=reason) as caught:
        read_arrays(path)
    assert type(caught.value) is ValueError


def test_a_missing_file_of_arrays_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.npz", tmp_path):
        with pytest.raises(ValueError, match=r"No such file|Is a directory"):
            read_arrays(path)
        with pytest.raises(ValueError, match=r"No such file|Is a directory"):
            array_names(path)


def test_any_damaged_byte_is_refused_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    np.savez(path, first=np.arange(3.0), second=np.ones((2, 2)))
    data = path.read_bytes()
    expected = read_arrays(path)
    assert array_names(path) == set(expected) == {"first", "second"}
    refused = 0
    for place in range(len(data)):
        path.write_bytes(changed(data, (place, data[place] ^ (1 << place % 8))))
        try:
            arrays = read_arrays(path)
        except ValueError:
            refused += 1
        else:
            assert all(np.array_equal(array, expected[name]) for name, array in arrays.items())
    assert refused > 0.7 * len(data)


@pytest.mark.parametrize(
    ("place", "byte", "kind"),
    [
        (0, 0, ValueError),
        (8, 1, tokenize.TokenError),
        (21, 44, SyntaxError),
        (26, 66, TypeError),
        (63, 45, OverflowError),
    ],
)
def test_damaged_headers_are_such_errors(tmp_path: Path, place: int, byte: int, kind: type[Exception]) -> None:
    """numpy parses a header as Python, so that a damaged one raises whatever its parser does."""
    path = tmp_path / "array.npy"
    np.save(path, np.arange(300, dtype=np.uint8).reshape(3, 100))
    path.write_bytes(changed(path.read_bytes(), (place, byte)))
    with warnings.catch_warnings(action="ignore"), pytest.raises(NOT_SUCH_ARRAYS) as caught:
        np.load(path, mmap_mode="r", allow_pickle=False)
    assert type(caught.value) is kind
    with warnings.catch_warnings(action="ignore"), pytest.raises(UserError, match="or it is damaged"):
        open_source(DataConfig(source=f"npy:{path}", validation=0.0))
