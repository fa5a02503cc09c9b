"""What does not need the public networks' weights: everything around them."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from iddpm.errors import UserError
from iddpm.evaluation import pretrained
from iddpm.evaluation.pretrained import Inception, open_pretrained

CPU = torch.device("cpu")


class Network(nn.Module):
    """In Inception's place: as many outputs, and the branch whose map sFID takes."""

    def __init__(self, name: str = "", features: list[str] | None = None, path: str | None = None) -> None:
        super().__init__()
        self.Mixed_6d = nn.Module()
        self.Mixed_6d.branch1x1 = nn.Conv2d(3, 9, 1)
        if path is not None:
            self.load_state_dict(torch.load(path, weights_only=True))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        assert images.dtype == torch.uint8
        maps = self.Mixed_6d.branch1x1(images.float())
        return maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))


@pytest.fixture
def fidelity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """torch-fidelity with that network, and a hub folder of its own; gives the place where the weights belong."""
    for kind, name in (("inceptionv3", "InceptionV3"), ("clip", "CLIP"), ("dinov2", "DinoV2")):
        module = types.ModuleType(f"torch_fidelity.feature_extractor_{kind}")
        setattr(module, f"FeatureExtractor{name}", Network)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    place = tmp_path / "hub" / "checkpoints" / Inception.file
    place.parent.mkdir(parents=True)
    return place


def no_network(url: str, path: str, progress: bool) -> None:
    raise OSError("no route to host")


def test_grey_levels_become_bytes_of_three_colours(fidelity: Path) -> None:
    torch.save(Network().state_dict(), fidelity)
    network = open_pretrained("inception", None, CPU)
    grey = np.arange(2 * 8 * 8).reshape(2, 1, 8, 8).astype(np.uint8) % 17
    spread = (grey.astype(float) * 255 / 16).round().astype(np.uint8).repeat(3, axis=1)
    few, many = network.embed(grey, 17), network.embed(spread, 256)
    assert torch.equal(few.features, many.features)
    assert few.logits is not None
    assert few.spatial is not None
    assert few.spatial.shape == (2, pretrained.SPATIAL_CHANNELS * 8 * 8)
    assert network.manifest()["name"] == "inception"
    with pytest.raises(UserError, match="features: inception sees images of 1 or 3 channels, not 2x8x8"):
        network.embed(grey.repeat(2, axis=1), 17)


def test_weights_are_found_by_path(fidelity: Path, tmp_path: Path) -> None:
    state = Network().state_dict()
    torch.save(state, tmp_path / "mine.pth")
    first = open_pretrained("inception", tmp_path / "mine.pth", CPU)
    state["Mixed_6d.branch1x1.bias"] += 1
    torch.save(state, fidelity)
    assert open_pretrained("inception", None, CPU).weights != first.weights
    with pytest.raises(UserError, match="feature_weights: .*/nothing is no file; fetch https"):
        open_pretrained("inception", tmp_path / "nothing", CPU)


def test_without_weights_or_connection_the_message_says_what_to_fetch(
    fidelity: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    with pytest.raises(
        UserError, match=r"weights are not at .*6726825d.pth .*no route to host.*; fetch https://github"
    ):
        open_pretrained("inception", None, CPU)
    with pytest.raises(UserError, match=r"clip's weights are not at .*; fetch https://openaipublic"):
        open_pretrained("clip", None, CPU)


def test_files_that_are_something_else(fidelity: Path, tmp_path: Path) -> None:
    fidelity.write_text("hello")
    with pytest.raises(UserError, match="is no file of tensors"):
        open_pretrained("inception", None, CPU)
    torch.save({"weight": Path()}, fidelity)  # an object: it may run code when it is loaded
    with pytest.raises(UserError, match="is no file of tensors"):
        open_pretrained("inception", None, CPU)
    with pytest.raises(UserError, match="is not clip's file of weights"):
        open_pretrained("clip", fidelity, CPU)


def test_dinov2_comes_from_a_hub(fidelity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[str] = []
    monkeypatch.setattr(torch.hub, "set_dir", places.append)
    assert open_pretrained("dinov2", tmp_path / "other", CPU).name == "dinov2"
    assert places == [str(tmp_path / "other"), str(tmp_path / "hub")]

    def nothing(*arguments: object) -> nn.Module:
        raise OSError("no route to host")

    monkeypatch.setattr(sys.modules["torch_fidelity.feature_extractor_dinov2"], "FeatureExtractorDinoV2", nothing)
    with pytest.raises(UserError, match=r"dinov2 is not in .*hub .*; put https://github.com/.*/dinov2 at"):
        open_pretrained("dinov2", None, CPU)


def test_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("torch_fidelity", "torch_fidelity.feature_extractor_inceptionv3"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=r"pip install 'iddpm\[evaluation\]', or for data with classes feat"):
        open_pretrained("inception", None, CPU)
