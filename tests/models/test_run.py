"""What a run looks like: shapes in one line, and in a notebook the logits of a few classes."""

import torch

from hc_interp.models.run import Run
from hc_interp.models.site import Site


def test_a_run_is_shown_by_its_shapes() -> None:
    run = Run(torch.zeros(2, 3), {Site(1, "z", head=0): torch.zeros(2, 5, 4), Site.embed(): torch.zeros(2, 5, 8)})
    assert repr(run) == "Run(logits [2, 3], L1H0.z [2, 5, 4], embed [2, 5, 8])"


def test_a_notebook_shows_the_logits_of_a_few_classes_only() -> None:
    logits = torch.full((12, 3), 0.25, dtype=torch.bfloat16, requires_grad=True)
    html = Run(logits, {})._repr_html_()
    assert html.startswith("<p><b>Run(logits [12, 3])</b></p><table")
    assert html.count("<td>0.25</td>") == 30
    for many in (torch.zeros(2, 50), torch.zeros(2, 5, 3)):
        assert "<table" not in Run(many, {})._repr_html_()
