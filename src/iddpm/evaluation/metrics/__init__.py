"""Scores of images, a file each, worked out from features. Nothing here knows a model."""
