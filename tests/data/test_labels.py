"""Classes are matched by name only where both sides speak of the same things."""

import pytest

from hc_interp.data.labels import resolve_groups
from hc_interp.errors import LabelError


@pytest.mark.parametrize("classes", [("entailment", "not_entailment"), ("entailment", "neutral", "contradiction")])
def test_a_model_that_lacks_a_meaning_is_refused(classes) -> None:
    """ "not entailment" is neutral or contradiction: a model that only knows one of them answers another question."""
    with pytest.raises(LabelError, match="cannot be matched by name"):
        resolve_groups(["entailment", "neutral"], classes=classes)
    assert resolve_groups(["neutral", "contradiction", "entailment"], classes=["entailment", "not_entailment"]) == (
        (2,),
        (0, 1),
    )
