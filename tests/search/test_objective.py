"""The objective that screens and searches share: what its losses are, and that names and data are checked."""

import pytest
import torch

from hc_interp.data.parts import as_parts
from hc_interp.errors import SearchError
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import SoftMask
from hc_interp.interventions.sites import Steer
from hc_interp.metrics import kl_divergence
from hc_interp.models.site import Site
from hc_interp.search.objective import Objective, check_choice, universe_of

ROWS = torch.tensor([7, 0, 31])


@pytest.fixture(scope="module")
def goals(planted_model, rows):
    means = mean_activations(planted_model, rows)
    before = [Steer(Site(1, "resid_pre"), torch.linspace(-1, 1, 24))]
    return {
        name: Objective.of(planted_model, as_parts(rows), means, "heads", name, before, 16) for name in ("kl", "task")
    }


@pytest.mark.parametrize("name", ["kl", "task"])
def test_losses_are_their_definitions(goals, rows, planted_model, name) -> None:
    goal = goals[name]
    full = planted_model.logits(rows.rows(ROWS), goal.interventions)
    gates = torch.linspace(0, 1, len(goal.universe))
    masked = planted_model.logits(rows.rows(ROWS), [*goal.interventions, SoftMask(gates, goal.source, goal.universe)])
    torch.testing.assert_close(goal.logits(gates, ROWS), masked, atol=1e-5, rtol=1e-5)
    answer = full.argmax(-1) if name == "kl" else rows.labels[ROWS]
    torch.testing.assert_close(
        goal.answer_loss(ROWS)(masked), -masked.log_softmax(-1).gather(1, answer[:, None])[:, 0], atol=1e-5, rtol=1e-5
    )
    expected = kl_divergence(full, masked) if name == "kl" else goal.answer_loss(ROWS)(masked)
    torch.testing.assert_close(goal.loss(masked, ROWS), expected, atol=1e-5, rtol=1e-5)
    at_full = torch.zeros(3) if name == "kl" else goal.answer_loss(ROWS)(full)
    torch.testing.assert_close(goal.full_loss(ROWS), at_full, atol=1e-5, rtol=1e-5)


def test_labels_are_looked_at_for_the_task_alone(goals) -> None:
    assert goals["kl"].pool.gold is None
    assert goals["task"].pool.gold is not None


def test_components_are_all_or_heads_alone(planted_model, goals) -> None:
    assert universe_of(planted_model, "heads+mlps") == planted_model.components
    assert goals["kl"].universe == tuple(item for item in planted_model.components if hasattr(item, "head"))


@pytest.mark.parametrize(
    ("components", "objective", "named"), [("mlps", "kl", "components='mlps'"), ("heads", "ce", "objective='ce'")]
)
def test_names_that_are_none_are_errors(components, objective, named) -> None:
    with pytest.raises(SearchError, match=named):
        check_choice(components, objective)
