"""Names that tensors have in checkpoints, a file a format."""

from iddpm.checkpoints.formats.format import CheckpointFormat

__all__ = ["CheckpointFormat"]
