"""Where a feature stands in activations: rounding is no direction of them."""

import numpy as np
import pytest

from hc_interp.probing.concept import Concept


def test_directions_that_vary_by_rounding_hold_nothing() -> None:
    """The second coordinate is rounding that happens to follow the feature: least squares would read it there."""
    rng = np.random.default_rng(0)
    value, noise = rng.normal(size=(2, 200))
    concept = Concept.of(np.stack([noise, 1e-7 * value], axis=1), value)
    alone = Concept.of(noise[:, None], value)
    assert abs(float(concept.covariance[1])) < 0.3e-7
    assert abs(float(concept.regression[1])) < 1e-3
    assert float(concept.regression[0]) == pytest.approx(float(alone.regression[0]))
    constant = Concept.of(3 + 1e-7 * value[:, None], value)  # rounding noise of an ablated site
    assert float(constant.covariance) == float(constant.regression) == 0
