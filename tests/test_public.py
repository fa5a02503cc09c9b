from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import iddpm

NAMES = [
    "ArrayDataset",
    "Classes",
    "Condition",
    "Config",
    "DataConfig",
    "Dataset",
    "DatasetSpec",
    "Diffusion",
    "DiffusionConfig",
    "DivergedError",
    "LikelihoodScore",
    "LowResolution",
    "Model",
    "NetworkConfig",
    "NoiseSchedule",
    "ObjectiveConfig",
    "Parameterization",
    "SampleQuality",
    "Splits",
    "StoredPlan",
    "Trainer",
    "TrainingConfig",
    "UNet",
    "UserError",
    "__version__",
    "estimate",
    "evaluate",
    "load",
    "open_source",
    "plan",
    "preset",
    "quantize",
    "sample",
    "save",
    "save_grid",
    "scale",
    "score",
    "split",
    "train",
    "train_events",
]
PREPOSITIONS = {"A", "As", "At", "By", "For", "From", "In", "Of", "On", "That", "The", "To", "What", "With"}


def test_the_public_names_are_these() -> None:
    assert sorted(iddpm.__all__) == NAMES
    assert dir(iddpm) == NAMES


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"__version__"}))
def test_public_names_are_documented(name: str) -> None:
    value = getattr(iddpm, name)
    lines = (value.__doc__ or "").splitlines()
    assert not lines[0].startswith(f"{name}("), "a dataclass makes such a line up"
    assert lines[0].endswith((".", ":")), "a sentence"
    if inspect.isfunction(value):
        verb = lines[0].split()[0]
        assert verb.isalpha(), "a verb in the imperative"
        assert verb not in PREPOSITIONS


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(getattr(iddpm, name), type)])
def test_methods_of_public_classes_are_documented(name: str) -> None:
    value = getattr(iddpm, name)
    for attribute, member in vars(value).items():
        if attribute.startswith("_") or not (callable(member) or isinstance(member, property | classmethod)):
            continue
        texts = [vars(base)[attribute].__doc__ or "" for base in value.__mro__ if attribute in vars(base)]
        assert any(text.split("\n\n")[0].rstrip().endswith((".", ":")) for text in texts), attribute


def test_type_checkers_see_the_same_names() -> None:
    import ast
    from pathlib import Path

    tree = ast.parse(Path(iddpm.__file__).read_text())
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {alias.name for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported == set(NAMES) - {"__version__"}


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        iddpm.nothing  # noqa: B018


def test_importing_loads_no_torch() -> None:
    code = "import sys, iddpm; iddpm.preset('digits'); assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
