"""The network whose features a command compares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from iddpm.cli.progress import show
from iddpm.errors import UserError
from iddpm.files import cache_folder

if TYPE_CHECKING:
    from iddpm.cli.data_flags import NamedData
    from iddpm.evaluation.features import FeatureNetwork
    from iddpm.evaluation.statistics import Statistics

CLASSIFIER = "classifier"


@dataclass(frozen=True, kw_only=True)
class FeatureFlags:
    """The network whose features are compared."""

    features: Literal["inception", "dinov2", "clip", "classifier"] | None = None
    """Network whose features count. None takes classifier for classes below 32 pixels, inception for other data."""
    feature_weights: str | None = None
    """The network's file of weights (dinov2: a folder laid out as torch's hub). None looks in torch's hub."""


def network_for(flags: FeatureFlags, device: str, data: NamedData) -> FeatureNetwork:
    """Return the network that was asked for, or the one that suits `data`; a classifier is trained on it, once."""
    from iddpm.evaluation.features import ClassifierFeatures
    from iddpm.evaluation.images import default_features

    name = flags.features or default_features(data.dataset.spec)
    if name != CLASSIFIER:
        return _pretrained(name, flags, device)
    if flags.feature_weights is not None:
        raise UserError("the classifier is trained on the data", field="feature_weights", way="leave it out")
    if not data.splits.spec.class_names:
        what = f"classifier needs data with classes, and {data.what['source']} has none"
        raise UserError(what, field="features", way="sub-folders, or what stands before _ in names, make them")
    return show(ClassifierFeatures.for_data(data.splits.train, data.splits.fingerprint(), cache_folder()))


def network_of(statistics: Statistics, flags: FeatureFlags, device: str) -> FeatureNetwork:
    """Return the network that made `statistics`."""
    from iddpm.evaluation.features import ClassifierFeatures

    name = statistics.manifest["features"]["name"]
    if flags.features not in (None, name):
        what = f"the reference was made with {name}, not {flags.features}"
        raise UserError(what, field="features", way="leave it out")
    if name != CLASSIFIER:
        return _pretrained(name, flags, device)
    try:
        return ClassifierFeatures.from_bytes(statistics.network or b"")
    except ValueError as error:
        what = f"its classifier is damaged ({error})"
        raise UserError(what, field="reference", way="make one with iddpm reference") from None


def _pretrained(name: str, flags: FeatureFlags, device: str) -> FeatureNetwork:
    from iddpm.acceleration import choose_device
    from iddpm.evaluation.pretrained import open_pretrained

    weights = flags.feature_weights
    return open_pretrained(name, None if weights is None else Path(weights).expanduser(), choose_device(device))
