"""Sources of data, a file each: see `source.Source`."""

from iddpm.data.sources.source import Source

__all__ = ["Source"]
