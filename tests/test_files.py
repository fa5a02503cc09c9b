from __future__ import annotations

from pathlib import Path

import pytest

from iddpm.errors import UserError
from iddpm.files import locked


def test_one_at_a_time(tmp_path: Path) -> None:
    release = locked(tmp_path / "lock", "taken")
    with pytest.raises(UserError, match="taken"):
        locked(tmp_path / "lock", "taken")
    release()
    locked(tmp_path / "lock", "taken")()
