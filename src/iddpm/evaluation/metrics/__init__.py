"""Scores of features, a file each. Nothing here knows a model."""
