from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from iddpm.errors import UserError
from tests.data.making import everything, folder_of, opened, picture


def test_a_zip_is_read_like_its_folder(tmp_path: Path) -> None:
    folder_of(tmp_path / "f", a__1=picture(value=10), b__2=picture(value=20))
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        for path in (tmp_path / "f").rglob("*.png"):
            archive.write(path, path.relative_to(tmp_path / "f"))
    from_zip = opened(f"zip:{tmp_path}/f.zip", validation=0.0)
    from_folder = opened(f"folder:{tmp_path}/f", validation=0.0)
    assert np.array_equal(everything(from_zip), everything(from_folder))
    assert from_zip.spec == from_folder.spec


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
