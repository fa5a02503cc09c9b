"""Kinds of data, a file each: see `kind.Kind`."""

from iddpm.data.kinds.kind import Kind, kind_of

__all__ = ["Kind", "kind_of"]
