"""Kinds of data, a file each: see `kind.Kind`."""

from iddpm.data.kinds.kind import Header, Kind, kind_of

__all__ = ["Header", "Kind", "kind_of"]
