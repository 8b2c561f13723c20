"""Classes are matched by name only if the names of data and model cover the same meanings."""

import pytest

from hc_interp.data.labels import label_numbers, resolve_groups
from hc_interp.errors import DataError, LabelError


@pytest.mark.parametrize("classes", [("entailment", "not_entailment"), ("entailment", "neutral", "contradiction")])
def test_a_model_that_lacks_a_meaning_is_refused(classes) -> None:
    """ "not entailment" covers neutral and contradiction: a model without one of them cannot have the label."""
    with pytest.raises(LabelError, match="cannot be matched by name"):
        resolve_groups(["entailment", "neutral"], classes=classes)
    assert resolve_groups(["neutral", "contradiction", "entailment"], classes=["entailment", "not_entailment"]) == (
        (2,),
        (0, 1),
    )


@pytest.mark.parametrize("label", [float("inf"), float("nan"), 0.5, None, "x"])
def test_a_label_that_is_no_whole_number_is_refused(label) -> None:
    with pytest.raises(DataError, match=r"holds .*expected whole numbers"):
        label_numbers([0, label], None, None, "here")
