"""Features of public networks: Inception, CLIP and DINOv2, as `torch-fidelity` has them (the extra `evaluation`)."""

from __future__ import annotations

import hashlib
import pickle
import urllib.error
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from iddpm.data.scaling import Levels
from iddpm.errors import Setting, UserError
from iddpm.evaluation.features import Embedded, FeatureNetwork
from iddpm.networks.hashing import hash_of

SPATIAL_CHANNELS = 7
"""Channels of the 17x17 map that sFID looks at: 2,023 numbers, about as many as FID's (Nash et al. 2021)."""
CLASSIFIER = Setting("features", "classifier")


class Pretrained(FeatureNetwork):
    """A public network of colour images: grey ones are shown to it as grey colours, levels as bytes."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._network = network.to(device).eval().requires_grad_(False)
        self._device = device
        self.weights = hash_of(network)

    def embed(self, items: Levels, levels: int) -> Embedded:
        if items.ndim != 4 or items.shape[1] not in (1, 3):
            raise UserError(
                f"{self.name} sees images of 1 or 3 channels, not {'x'.join(map(str, items.shape[1:]))}",
                field="features",
                way=["use ", CLASSIFIER],
            )
        spread = (items.astype(np.float64) * (255 / (levels - 1))).round().astype(np.uint8)
        colours = torch.from_numpy(spread).expand(-1, 3, -1, -1)
        with torch.no_grad():
            return self._embed(colours.to(self._device))

    def _embed(self, images: Tensor) -> Embedded:
        """Return the features of bytes `[n, 3, height, width]` on the network's device."""
        return Embedded(self._network(images)[0].cpu())


class Inception(Pretrained):
    """FID's network: Inception of 2015-12-05 with TensorFlow's resizing; 2,048 features and 1,008 classes."""

    name = "inception"
    notes = {"network": "inception-2015-12-05", "preprocessing": "TensorFlow 1 bilinear to 299x299"}  # noqa: RUF012
    file = "weights-inception-2015-12-05-6726825d.pth"
    url = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{file}"

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        super().__init__(network, device)
        self._maps: list[Tensor] = []
        branch = network.get_submodule("Mixed_6d.branch1x1")
        branch.register_forward_hook(lambda module, given, output: self._maps.append(output[:, :SPATIAL_CHANNELS]))

    def _embed(self, images: Tensor) -> Embedded:
        features, logits = self._network(images)
        return Embedded(features.cpu(), logits.cpu(), self._maps.pop().flatten(1).cpu())


class Clip(Pretrained):
    """CLIP ViT-B/32: 512 features."""

    name = "clip"
    notes = {"network": "clip-vit-b-32", "preprocessing": "TensorFlow 1 bilinear to 224x224"}  # noqa: RUF012
    sha256 = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
    file = f"clip-vit-b-32-{sha256}.pt"
    url = f"https://openaipublic.azureedge.net/clip/models/{sha256}/ViT-B-32.pt"


class DinoV2(Pretrained):
    """DINOv2 ViT-L/14: 1,024 features, closer to what people see than Inception's (Stein et al. 2023)."""

    name = "dinov2"
    notes = {"network": "dinov2-vit-l-14", "preprocessing": "TensorFlow 1 bilinear to 224x224"}  # noqa: RUF012
    file = "dinov2_vitl14_pretrain.pth"
    url = f"https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/{file}"
    repository = "https://github.com/facebookresearch/dinov2"


def open_pretrained(name: str, weights: Path | None, device: torch.device) -> Pretrained:
    """Return the network called `name` on `device`.

    weights: its file (dinov2: a folder laid out as torch's hub is). None takes the file in torch's hub, and fetches it
    if there is none. UserError if it cannot be had, with what to fetch and where to put it.
    """
    if name == "inception":
        network = _extra("feature_extractor_inceptionv3").FeatureExtractorInceptionV3
        path = _file_of(Inception, weights)
        _only_tensors(path)
        return Inception(network("inception-v3-compat", ["2048", "logits_unbiased"], str(path)), device)
    if name == "clip":
        network = _extra("feature_extractor_clip").FeatureExtractorCLIP
        path = _file_of(Clip, weights)
        if hashlib.sha256(path.read_bytes()).hexdigest() != Clip.sha256:
            raise UserError(f"{path} is not clip's file of weights", field="features", way=f"fetch {Clip.url}")
        return Clip(network("clip-vit-b-32", ["clip"], str(path)), device)
    network = _extra("feature_extractor_dinov2").FeatureExtractorDinoV2
    return DinoV2(_from_hub(network, weights), device)


def _extra(module: str) -> Any:
    import importlib

    try:
        with warnings.catch_warnings(action="ignore"):
            return importlib.import_module(f"torch_fidelity.{module}")
    except ModuleNotFoundError as error:
        what, way = f"{error.name} is not installed", "use: pip install 'iddpm[evaluation]'"
    except (ImportError, RuntimeError) as error:  # a torchvision that was built for another torch
        what = f"torch-fidelity does not load ({str(error).splitlines()[0]})"
        way = f"install the torchvision that belongs to torch {torch.__version__}"
    raise UserError(what, field="features", way=[f"{way}, or for data with classes ", CLASSIFIER])


def _file_of(kind: type[Inception | Clip], weights: Path | None) -> Path:
    """Return the file of weights, fetched if need be."""
    if weights is not None:
        if not weights.is_file():
            raise UserError(f"{weights} is no file", field="feature_weights", way=f"fetch {kind.url}")
        return weights
    path = Path(torch.hub.get_dir()) / "checkpoints" / kind.file
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(kind.url, str(path), progress=False)
        except (OSError, urllib.error.URLError) as error:
            raise UserError(
                f"{kind.name}'s weights are not at {path} and cannot be fetched ({getattr(error, 'reason', error)})",
                field="features",
                way=[f"fetch {kind.url} elsewhere and put it there, or name it with ", Setting("feature_weights")],
            ) from None
    return path


def _only_tensors(path: Path) -> None:
    """Raise UserError for a file of anything but tensors: torch-fidelity unpickles whatever it holds."""
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError):
        raise UserError(
            f"{path} is no file of tensors, or a damaged one",
            field="features",
            way=f"fetch {Inception.url}, or delete it",
        ) from None


def _from_hub(network: Any, folder: Path | None) -> nn.Module:
    """Return DINOv2's network, whose code is in a repository that torch's hub keeps. folder: in place of that hub."""
    before = torch.hub.get_dir()
    hub = Path(before) if folder is None else folder
    try:
        torch.hub.set_dir(str(hub))
        module: nn.Module = network("dinov2-vit-l-14", ["dinov2"])
        return module
    except (OSError, urllib.error.URLError, RuntimeError, ImportError) as error:
        reason = str(getattr(error, "reason", error)).splitlines()[0]
        raise UserError(
            f"dinov2 is not in {hub} and cannot be fetched ({reason})",
            field="features",
            way=f"put {DinoV2.repository} at {hub / 'facebookresearch_dinov2_main'} and {DinoV2.url} into"
            f" {hub / 'checkpoints'}",
        ) from None
    finally:
        torch.hub.set_dir(before)
