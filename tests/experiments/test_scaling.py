"""The law of the scaling experiment."""

import numpy as np
import pytest

from iddpm.experiments.scaling import fit


def test_a_law_is_found_again_and_goes_on() -> None:
    compute = np.array([1.0, 2.0, 4.5, 9.0]) * 1e12
    known = 2.5 + 3.0 * (compute / 1e12) ** -0.6
    law = fit(compute[:3].tolist(), known[:3].tolist())
    assert float(law(compute[3:])[0]) == pytest.approx(known[3], rel=1e-3)
    assert law.a == pytest.approx(2.5, rel=0.02)
