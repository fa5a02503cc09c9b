"""The authors' networks: parameter counts, tensor names and outputs."""

from __future__ import annotations

import pytest
import torch

from tests import golden

NETWORKS = golden.facts("networks/index.json")


@pytest.mark.parametrize("name", NETWORKS)
def test_output(name: str) -> None:
    known = NETWORKS[name]
    data = golden.tensors(f"networks/{known['file']}")
    x = data["input.x"]
    network = golden.ruled_network(known["config"], x.shape[2:], upsampler=name == "upsampler")
    assert sum(p.numel() for p in network.parameters()) == known["parameters"]
    conditions = {"classes": data.get("input.y"), "low_resolution": data.get("input.low_res")}
    given = {key: value for key, value in conditions.items() if value is not None}
    with torch.no_grad():
        output = network(x, data["input.t"], given)
    torch.testing.assert_close(output, data["output"], rtol=1e-4, atol=1e-4)
