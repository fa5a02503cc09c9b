"""Bits/dim of data under a model: the whole bound, or an estimate on a budget."""
