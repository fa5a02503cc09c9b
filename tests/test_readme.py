"""What README and the documents say must run, exist, and stand on the pages that they link."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

import iddpm
import iddpm.names
from iddpm.names import COMMANDS
from iddpm.presets import PRESETS
from iddpm.registry import Registry
from tests.training.tiny import tiny

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
RESULTS = "docs/results"
WRITTEN = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md") if (ROOT / name).exists()] + sorted(
    page for page in (ROOT / "docs").rglob("*.md") if RESULTS not in page.as_posix()
)
PAGES = [*WRITTEN, *sorted((ROOT / RESULTS).glob("*.md"))]
EXAMPLES = [
    ROOT / "README.md",
    *(page for page in (ROOT / "docs/guide").glob("*.md") if "```python" in page.read_text()),
]
"""The pages whose Python runs here; tests/extending runs that of the architecture."""
MEASURED = re.compile(r"-?\d[\d,]*(?:\.\d+)? ± \d+(?:\.\d+)?")
LONGEST_README = 120
LONGEST_SENTENCE = 36


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> list[str]:
    """Return the rows of tables and the paragraphs."""
    paragraphs = re.split(r"\n\s*\n", text)
    return [block for part in paragraphs for block in (part.splitlines() if part.startswith("|") else [part])]


def links(text: str, page: Path) -> list[Path]:
    """Return the files that a text of this page links."""
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    return [page.parent / target for target in targets if not target.startswith("http")]


def unsupported(text: str, page: Path) -> list[str]:
    """Return the figures "x ± y" of a text that stand on none of the pages of results that it links."""
    sources = [path.read_text() for path in links(text, page) if RESULTS in path.resolve().as_posix()]
    return [
        figure
        for figure in MEASURED.findall(text)
        if not any(re.search(rf"(?<![\d.,-]){re.escape(figure)}(?![\d.])", source) for source in sources)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("page", EXAMPLES, ids=name_of)
def test_python_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if '"runs/digits"' in page.read_text() and "iddpm.train" not in page.read_text():
        iddpm.train(tiny(), iddpm.open_source(tiny().data), "runs/digits")
    monkeypatch.setattr(iddpm, "preset", lambda name: {"digits": tiny()}[name], raising=False)
    names: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
        exec(code.replace("steps=50", "steps=5").replace("300", "100"), names)
    assert page.name != "README.md" or (tmp_path / "digits.png").is_file()


def test_commands_and_presets_exist() -> None:
    assert set(re.findall(r"^\| `iddpm (\w+)", README, flags=re.MULTILINE)) == set(COMMANDS)
    named = set(re.findall(r"`((?:cifar10|imagenet64|lsun256|upsample256)(?:-\w+)?)`", README))
    assert named == set(PRESETS) - {"digits", "photos"}


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= LONGEST_README


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page.read_text(), page):
        assert target.exists(), target


def test_readmes_figures_stand_on_the_pages_beside_them() -> None:
    page = ROOT / "README.md"
    assert len(MEASURED.findall(README)) > 10
    assert [figure for block in blocks(README) for figure in unsupported(block, page)] == []


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_figures_stand_on_a_page_that_is_linked(page: Path) -> None:
    assert unsupported(page.read_text(), page) == []


def test_a_turned_figure_is_noticed() -> None:
    page = ROOT / "README.md"
    rows = [block for block in blocks(README) if block.startswith("|") and MEASURED.search(block)]
    assert rows
    for row in rows:
        for figure in MEASURED.findall(row):
            value, error = figure.split(" ± ")
            digit = "1" if value[-1] != "1" else "2"
            assert unsupported(row.replace(figure, f"{value[:-1]}{digit} ± {error}"), page), figure


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_sentences_are_short(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    prose = "\n".join("" if line.startswith(("|", "#", "<!--")) else line for line in text.splitlines())
    prose = re.sub(r"\]\([^)]*\)", "]", prose).replace("*", "")
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*- )", prose):
        for sentence in re.split(r"(?<=[.!?:])\)?\s+", " ".join(paragraph.split())):
            assert len(sentence.split()) <= LONGEST_SENTENCE, sentence


def test_every_equation_is_where_the_documents_say() -> None:
    text = (ROOT / "docs/mathematics.md").read_text()
    places = re.findall(r"`([\w/]+\.py)`: ((?:`[\w.]+`(?:, )?)+)", text)
    assert len(places) > 15
    for file, names in places:
        source = (ROOT / "src/iddpm/diffusion" / file).read_text()
        for name in re.findall(r"`([\w.]+)`", names):
            last = name.split(".")[-1]
            assert re.search(rf"\b(def|class) {last}\b|\b{last}:", source), (file, name)


def test_architecture_names_every_room() -> None:
    tree = (ROOT / "docs/architecture.md").read_text().split("```")[1]
    package = ROOT / "src/iddpm"
    rooms = {f"{path.parent.name}/" for path in package.rglob("__init__.py") if path.parent != package}
    modules = {path.name for path in package.glob("*.py") if path.name != "__main__.py"}
    assert {name for name in rooms | modules if name not in tree} == set()


def test_architecture_says_how_to_add_to_every_registry() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    registries = {name for name, value in vars(iddpm.names).items() if isinstance(value, Registry)}
    assert {name for name in registries if f"`{name}`" not in text} == set()


def test_decisions_are_all_in_their_index() -> None:
    folder = ROOT / "docs/decisions"
    index = (folder / "README.md").read_text()
    pages = sorted(page for page in folder.glob("*.md") if page.name != "README.md")
    assert [f"{number:03}" for number in range(1, len(pages) + 1)] == [page.name[:3] for page in pages]
    for page in pages:
        title = page.read_text().splitlines()[0].removeprefix("# ")
        assert f"| [{page.name[:3]}]({page.name}) | {title[5:]} |" in index, page.name


def test_made_pages_are_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/reference/generate.py")
    assert spec is not None and spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = generate
    spec.loader.exec_module(generate)
    for page, make in generate.PAGES.items():
        assert (ROOT / "docs" / page).read_text() == make(), f"{page}: run docs/reference/generate.py"


def test_architecture_shows_the_files_that_are_tested() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    shown = set(re.findall(r"<!-- tests/extending/(\w+)\.py -->", text))
    files = {path.stem for path in (ROOT / "tests/extending").glob("*.py")}
    assert {name for name in files if not name.startswith(("test_", "__"))} <= shown


@pytest.mark.parametrize("page", [page for page in WRITTEN if page.parent.name != "reference"], ids=name_of)
def test_flags_exist(page: Path) -> None:
    commands = (ROOT / "docs/reference/commands.md").read_text()
    fields = set(re.findall(r"^\| `([\w.]+)`", (ROOT / "docs/reference/configuration.md").read_text(), re.MULTILINE))
    sections = dict(re.findall(r"^## iddpm (\w+)\n(.*?)(?=^## |\Z)", commands, re.MULTILINE | re.DOTALL))
    for command, words in re.findall(r"\biddpm (\w+)([^\n`#|>]*)", page.read_text()):
        for flag in re.findall(r"(?<!\S)--([a-z][\w.-]*)", words if command in sections else ""):
            own = re.search(rf"`[^`]*--{re.escape(flag)}\b[^`]*`", sections[command])
            field = command == "train" and flag.replace("no-", "").replace("-", "_") in fields
            assert own or field or flag == "help", f"iddpm {command} --{flag}"
