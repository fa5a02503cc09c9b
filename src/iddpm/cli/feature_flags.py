"""The network whose features a command compares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from iddpm.cli.progress import show
from iddpm.errors import UserError

if TYPE_CHECKING:
    from iddpm.cli.data_flags import NamedData
    from iddpm.evaluation.features import FeatureNetwork
    from iddpm.evaluation.statistics import Statistics

Features = Literal["inception", "dinov2", "clip", "classifier"]


def network_for(name: Features | None, weights: str | None, device: str, data: NamedData) -> FeatureNetwork:
    """The network called `name`, or the one that suits `data`; a classifier is trained on it, once."""
    from iddpm.evaluation.images import default_features

    chosen = name or default_features(data.dataset.spec)
    if chosen != "classifier":
        return _pretrained(chosen, weights, device)
    if weights is not None:
        raise UserError("the classifier is trained on the data", field="feature_weights", way="leave it out")
    from iddpm.evaluation.features import ClassifierFeatures
    from iddpm.files import cache_folder

    if not data.splits.spec.class_names:
        what = f"classifier needs data with classes, and {data.what['source']} has none"
        raise UserError(what, field="features", way="sub-folders, or what stands before _ in names, make them")
    return show(ClassifierFeatures.for_data(data.splits.train, data.splits.fingerprint(), cache_folder()))


def network_of(statistics: Statistics, name: Features | None, weights: str | None, device: str) -> FeatureNetwork:
    """The network that made `statistics`."""
    known = statistics.manifest["features"]["name"]
    if name not in (None, known):
        raise UserError(f"the reference was made with {known}, not {name}", field="features", way="leave it out")
    if known != "classifier":
        return _pretrained(known, weights, device)
    from iddpm.evaluation.features import ClassifierFeatures

    try:
        return ClassifierFeatures.from_bytes(statistics.network or b"")
    except ValueError as error:
        what = f"its classifier is damaged ({error})"
        raise UserError(what, field="reference", way="make one with iddpm reference") from None


def _pretrained(name: str, weights: str | None, device: str) -> FeatureNetwork:
    from iddpm.acceleration import choose_device
    from iddpm.evaluation.pretrained import open_pretrained

    return open_pretrained(name, None if weights is None else Path(weights).expanduser(), choose_device(device))
