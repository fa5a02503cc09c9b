from __future__ import annotations

from pathlib import Path

from iddpm.config import DataConfig
from iddpm.data import open_source
from tests.data.making import folder_of, picture


def test_broken_images_can_be_left_out_and_are_listed(tmp_path: Path) -> None:
    folder_of(tmp_path, a=picture((16, 16)), b=picture((16, 16)), c=picture((16, 16)), small=picture((4, 4)))
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:60])
    (tmp_path / "text.png").write_text("hello")
    config = DataConfig(source=f"folder:{tmp_path}", size=8, skip_broken=True, validation=0.0)
    splits = open_source(config)
    assert len(splits.train) == 2
    assert [line.split(":")[0] for line in splits.left_out] == ["b.png", "small.png", "text.png"]
    assert "has size 4x4, smaller than 8x8" in splits.left_out[1]
    assert open_source(config).left_out == splits.left_out  # from the cache, too
