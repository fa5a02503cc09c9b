"""Kinds of data, a file each: see `kind.Kind`."""

from iddpm.data.kinds.kind import FileKind, Header, Kind, kind_of

__all__ = ["FileKind", "Header", "Kind", "kind_of"]
