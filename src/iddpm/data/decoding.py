"""Files of any kind of data as one array of items."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np

from iddpm.config import DataConfig, DatasetSpec, by
from iddpm.data.cache import Labels, Notes, cached
from iddpm.data.dataset import ArrayDataset, Splits, split
from iddpm.data.kinds.kind import FileKind, Header, default_kind
from iddpm.data.opening import check_stated
from iddpm.errors import Setting, UserError
from iddpm.names import KINDS
from iddpm.progress import Progress, Work

Result = TypeVar("Result")


class Files(ABC):
    """Files by name. Names are relative, with forward slashes, and sorted; hidden files have none."""

    names: list[str]

    @abstractmethod
    def fingerprint(self, names: list[str]) -> object:
        """Return JSON values that change when one of these files does."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return a file's bytes."""


def visible(names: Iterable[str]) -> list[str]:
    """Return the names in which no part is hidden, sorted."""
    return sorted(name for name in names if not any(map(_is_hidden, PurePosixPath(name).parts)))


def _is_hidden(part: str) -> bool:
    return part.startswith((".", "__MACOSX"))


def decoding(config: DataConfig, source: str, files: Files) -> Work[Splits]:
    """Return the items of files as one array, decoded once (see `cache`), under the name `source`.

    UserError if a file cannot be read (unless `skip_broken`), if channels mix, or if sizes differ without `data.size`.
    """
    kind, names = _kind_and_names(config, files)
    settings = config.model_dump(include={"size", "channels", "skip_broken", "resize_filter"})
    fill = partial(_decode_all, config, files, kind, names)
    items, labels, notes = yield from cached(source, settings, files.fingerprint(names), fill)
    spec = DatasetSpec(
        channels=items.shape[1],
        size=items.shape[2:],
        levels=notes.get("levels", 256),
        class_names=notes["class_names"],
        kind=None if kind == default_kind(items.ndim - 2) else kind,
    )
    return split(ArrayDataset(spec, items, labels), config.validation, tuple(notes["left_out"]))


def _kind_and_names(config: DataConfig, files: Files) -> tuple[str, list[str]]:
    """Return the first kind of data that the files hold, and the names of those of that kind."""
    for kind in KINDS:
        names = [name for name in files.names if PurePosixPath(name).suffix.lower() in KINDS[kind].endings]
        if names:
            return kind, names
    endings = [ending.removeprefix(".") for kind in KINDS for ending in KINDS[kind].endings]
    raise UserError(
        f"{config.source} holds no items ({', '.join(endings)})", field="data.source", way="name another place"
    )


def _decode_all(
    config: DataConfig, files: Files, kind_name: str, names: list[str], folder: Path
) -> Work[tuple[Labels, Notes]]:
    kind: FileKind = KINDS[kind_name]()
    headers: dict[str, Header] = {}
    troubles: dict[str, str] = {}
    for done, (name, header) in enumerate(_in_threads(files, kind.header, names), 1):
        if isinstance(header, str):
            troubles[name] = header
        else:
            headers[name] = header
        yield Progress("reading headers", done, len(names))
    if headers:
        spec = _common_spec(config, headers)
        check_stated(config, spec)
        kind.check(spec)
        for name, header in headers.items():
            if any(side < least for side, least in zip(header.size, spec.size, strict=True)):
                troubles[name] = f"has size {by(header.size)}, smaller than {by(spec.size)}"
    _refuse(config, troubles, len(names))

    left = [name for name in names if name not in troubles]
    dtype = np.uint8 if spec.levels <= 256 else np.uint16
    array = np.lib.format.open_memmap(folder / "items.npy", mode="w+", dtype=dtype, shape=(len(left), *spec.shape))
    kept: list[str] = []
    decode = partial(kind.decode, spec=spec, resize_filter=config.resize_filter)
    for done, (name, item) in enumerate(_in_threads(files, decode, left), 1):
        if isinstance(item, str):
            troubles[name] = item
        else:
            array[len(kept)] = item
            kept.append(name)
        yield Progress(f"decoding {kind_name}", done, len(left))
    array.flush()
    _refuse(config, troubles, len(names))
    if len(kept) < len(left):
        np.save(folder / "fewer.npy", array[: len(kept)])
        (folder / "fewer.npy").replace(folder / "items.npy")
    classes = class_of_each(kept)
    class_names = sorted(set(classes or []))
    position = {name: label for label, name in enumerate(class_names)}
    labels = np.array([position[name] for name in classes], dtype=np.int64) if classes else None
    left_out = [f"{name}: {trouble}" for name, trouble in sorted(troubles.items())]
    return labels, {"class_names": class_names, "left_out": left_out, "levels": spec.levels}


def _common_spec(config: DataConfig, headers: dict[str, Header]) -> DatasetSpec:
    """Return the form that all items get; UserError if the files differ and the configuration leaves it open."""
    first = next(iter(headers.values()))
    size = config.sides(len(first.size)) or first.size
    sizes = Counter(header.size for header in headers.values())
    if config.size is None and len(sizes) > 1:
        examples = ", ".join(by(example) for example, _ in sizes.most_common(2))
        raise UserError(
            f"items of {config.source} differ in size ({examples}, ...)",
            field="data.size",
            way=["use e.g. ", Setting("data.size", 32), " to resize and crop them"],
        )
    names = {header.channels: name for name, header in headers.items()}
    if config.channels is None and len(names) > 1:
        few, many = min(names), max(names)
        raise UserError(
            f"{config.source} mixes items of {few} ({names[few]}) and {many} ({names[many]})",
            field="data.channels",
            way=["use ", Setting("data.channels", few), " or ", Setting("data.channels", many)],
        )
    levels = max(header.levels for header in headers.values())
    return DatasetSpec(channels=config.channels or first.channels, size=size, levels=levels)


def _refuse(config: DataConfig, troubles: dict[str, str], count: int) -> None:
    if len(troubles) == count:
        examples = {trouble: name for name, trouble in troubles.items()}
        reasons = [f"{name} {trouble}" for trouble, name in examples.items()]
        shown = "; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} more reasons" if len(reasons) > 3 else "")
        raise UserError(
            f"none of the {count} files in {config.source} can be used: {shown}",
            field="data.source",
            way=["name others, or set ", Setting("data.size"), " to a size that these have"],
        )
    if troubles and not config.skip_broken:
        shown = "; ".join(f"{name} {trouble}" for name, trouble in list(troubles.items())[:5])
        more = f"; and {len(troubles) - 5} more" if len(troubles) > 5 else ""
        raise UserError(
            f"{len(troubles)} of {count} files cannot be used: {shown}{more}",
            field="data.source",
            way=["mend them, or go on without them: ", Setting("data.skip_broken", True)],
        )


def class_of_each(names: list[str]) -> list[str] | None:
    """Return the class of every file: its folder, if all lie in folders, or what stands before "_" in its name.

    None if neither tells at least two classes apart.
    """
    paths = [PurePosixPath(name) for name in names]
    if all(len(path.parts) > 1 for path in paths):
        classes = [path.parent.name for path in paths]
        if len(set(classes)) > 1:
            return classes
    if all("_" in path.name for path in paths):
        classes = [path.name.split("_")[0] for path in paths]
        if len(set(classes)) > 1:
            return classes
    return None


def _in_threads(files: Files, work: Callable[[bytes], Result], names: list[str]) -> Iterator[tuple[str, Result | str]]:
    """Yield the name of every file with what `work` makes of its bytes, or with the reason why it cannot."""

    def attempt(name: str) -> Result | str:
        try:
            return work(files.read(name))
        except UserError as error:
            return str(error)
        except Exception as error:  # bytes from anywhere: decoders fail in many ways
            return f"cannot be read ({str(error).splitlines()[0]})" if str(error) else "cannot be read"

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(names), 1024):  # a pool's map would decode everything before it is written
            part = names[start : start + 1024]
            yield from zip(part, pool.map(attempt, part), strict=True)
