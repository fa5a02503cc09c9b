"""What the README shows must run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from iddpm.cli.main import COMMANDS
from iddpm.presets import PRESETS
from tests.training.tiny import tiny

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert 'iddpm.preset("digits")' in code
    monkeypatch.chdir(tmp_path)
    names = {"tiny_configuration": tiny()}
    code = code.replace('iddpm.preset("digits")', "tiny_configuration").replace("steps=50", "steps=5")
    exec(code, names)
    assert (tmp_path / "digits.png").is_file()
    assert "bits/dim" in capsys.readouterr().out


def test_commands_and_presets_exist() -> None:
    assert set(re.findall(r"^iddpm (\w+)", README, flags=re.MULTILINE)) <= set(COMMANDS)
    named = set(re.findall(r"`((?:cifar10|imagenet64|lsun256|upsample256)(?:-\w+)?)`", README))
    assert named == set(PRESETS) - {"digits", "photos"}


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        if not link.startswith("http"):
            assert ((ROOT / page).parent / link).exists(), link


def test_every_equation_is_where_the_documents_say() -> None:
    text = (ROOT / "docs/mathematics.md").read_text()
    places = re.findall(r"`(\w+\.py)`: ((?:`[\w.]+`(?:, )?)+)", text)
    assert len(places) > 15
    for file, names in places:
        source = (ROOT / "src/iddpm/diffusion" / file).read_text()
        for name in re.findall(r"`([\w.]+)`", names):
            last = name.split(".")[-1]
            assert re.search(rf"\b(def|class) {last}\b|\b{last}:", source), (file, name)
