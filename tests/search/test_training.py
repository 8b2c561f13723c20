"""What one run of training draws."""

import torch
from tiny import tiny_batch

from hc_interp.progress import SILENT
from hc_interp.search import training as module
from hc_interp.search.objective import Objective
from hc_interp.search.plan import RandomStreams
from hc_interp.search.training import Training


def test_each_example_of_a_batch_has_gates_of_its_own(tiny_bert, monkeypatch) -> None:
    seen, draw = [], module.sample_gates
    monkeypatch.setattr(
        module, "sample_gates", lambda log_alpha, uniform: seen.append(uniform) or draw(log_alpha, uniform)
    )
    goal = Objective.of(tiny_bert, [tiny_batch(12)], 0, "heads+mlps", "kl", (), 12)
    Training(goal, torch.arange(12), 0.5, RandomStreams(0, 0), steps=2, batch_size=6).run(SILENT)
    assert [tuple(uniform.shape) for uniform in seen] == [(6, 12), (6, 12)]
    assert len(torch.cat(seen).unique()) == 2 * 6 * 12
