"""Sources of data, a file each: see `source.Source`."""
