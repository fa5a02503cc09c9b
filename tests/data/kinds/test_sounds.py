from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from iddpm.config import DatasetSpec
from iddpm.data.kinds.sounds import Sounds
from iddpm.errors import UserError
from tests.data.making import everything, opened


@pytest.mark.parametrize("levels", [256, 65536])
@pytest.mark.parametrize("channels", [1, 2])
def test_sounds_are_written_and_read_back(tmp_path: Path, channels: int, levels: int) -> None:
    sounds = np.random.default_rng(0).integers(0, levels, (3, channels, 50))
    items = sounds.astype(np.uint8 if levels == 256 else np.uint16)
    for i, item in enumerate(items):
        Sounds().write(tmp_path / f"{i}.wav", item, levels)
    splits = opened(f"folder:{tmp_path}", validation=0.0)
    assert splits.spec == DatasetSpec(channels=channels, size=(50,), levels=levels)
    assert np.array_equal(everything(splits), items)
    cropped = opened(f"folder:{tmp_path}", validation=0.0, size=20)
    assert np.array_equal(everything(cropped), items[:, :, 15:35])


def test_few_levels_are_spread_over_a_byte(tmp_path: Path) -> None:
    Sounds().write(tmp_path / "a.wav", np.array([[0, 8, 16]], dtype=np.uint8), 17)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert list(file.readframes(3)) == [0, 128, 255]


def test_of_24_bits_the_highest_16_are_read(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 3, 16_000, 0, "NONE", ""))
        file.writeframes(b"\x7f\x00\x00" + b"\xff\xff\x7f" + b"\x00\x00\x80")
    items = everything(opened(f"folder:{tmp_path}", validation=0.0))
    assert items.tolist() == [[[32768, 65535, 0]]]


def test_a_sound_is_drawn_as_a_curve() -> None:
    drawn = Sounds().shown(np.array([[[0, 255]]], dtype=np.uint8), 256)
    assert drawn.shape == (1, 48, 2, 1)
    assert (drawn == 0).sum() == 2
    assert drawn[0, 47, 0] == drawn[0, 0, 1] == 0


def test_sounds_cannot_be_mirrored(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((9, 16), dtype=np.uint8))
    with pytest.raises(UserError, match="data.flip: a mirror image .* use data.flip=False"):
        opened(f"npy:{tmp_path}/a.npy", dimensions=1, flip=True)


def test_broken_sounds_and_other_channels_are_told(tmp_path: Path) -> None:
    Sounds().write(tmp_path / "a.wav", np.zeros((1, 9), dtype=np.uint8), 256)
    (tmp_path / "b.wav").write_bytes(b"RIFF")
    with pytest.raises(UserError, match=r"1 of 2 files cannot be used: b.wav cannot be read"):
        opened(f"folder:{tmp_path}")
    (tmp_path / "b.wav").unlink()
    with pytest.raises(UserError, match=r"a.wav has 1 channels, not 2"):
        opened(f"folder:{tmp_path}", channels=2)
