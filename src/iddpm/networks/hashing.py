"""A short hash of a network's weights, by which plans and results tell networks apart."""

from __future__ import annotations

import hashlib

from torch import nn


def hash_of(network: nn.Module) -> str:
    """Return 16 hexadecimal digits of a hash over all weights and their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
