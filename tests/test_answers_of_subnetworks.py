"""Subnetworks of a language model that is scored by answers: the curve over sizes, and the sample of good ones.

Both equal plain hooks on the module, for every subnetwork of a size.
"""

from itertools import combinations

import numpy as np
import pytest
import torch
from answers import answered, bpe_tokenizer, slow_logits, slow_scores, tiny_gpt2
from twin import Twin

import hc_interp as hc
from hc_interp.data.encode import all_scored
from hc_interp.errors import HCError, LabelError
from hc_interp.search.objective import Objective
from hc_interp.search.plan import draw_plan
from hc_interp.search.sampling import exclusion, starts

LAYERS, HEADS, ROWS = 2, 2, 16
TOKENIZER = bpe_tokenizer()
MODULE = tiny_gpt2(TOKENIZER, layers=LAYERS, heads=HEADS)
EXAMPLES = answered(40)
SAMPLE = {"chains": 2, "rows": ROWS, "warm_up": 10, "sweeps": 10, "steps": 1, "means": 0}
UNLABELLED = hc.Examples(EXAMPLES.first)


@pytest.fixture(scope="module")
def model():
    return hc.load(MODULE, tokenizer=TOKENIZER)


def hooked(model, kept, texts) -> torch.Tensor:
    """Logits after the last word of each text, where all components but `kept` are zeroed by hooks."""
    edits = {}
    for layer in range(LAYERS):
        lost = [head for head in range(HEADS) if hc.Head(layer, head) not in kept]
        edits[layer, "z"] = lambda value, lost=lost: value.index_fill(2, torch.tensor(lost, dtype=torch.long), 0)
        if hc.MLP(layer) not in kept:
            edits[layer, "mlp_out"] = torch.zeros_like
    twin = Twin(MODULE)
    with torch.no_grad():
        return torch.stack([twin.run(model.tokenize(text), edits)[0][0, -1] for text in texts])


def preferred(rows: hc.Examples) -> hc.Examples:
    """The rows with the word of higher logit as the answer, so that the full model's mean score is not about 0."""
    words = [(a, b) for (a, *_), (b, *_) in zip(rows.answer or (), rows.foil or (), strict=True)]
    logits = slow_logits(MODULE, TOKENIZER, rows.first)
    ranked = [
        sorted(pair, key=lambda word, row=row: -float(row[TOKENIZER.encode(word)[0]]))
        for pair, row in zip(words, logits, strict=True)
    ]
    return hc.Examples(rows.first, answer=[best for best, _ in ranked], foil=[worst for _, worst in ranked])


@pytest.mark.parametrize(("metric", "column"), [("logit_diff", 0), ("prob_diff", 1)])
def test_the_curve_is_hooks_on_the_module(model, metric, column) -> None:
    rows = preferred(EXAMPLES.rows(range(12)))
    order = ["L1H0", "L0MLP", "L0H1", "L1MLP", "L1H1", "L0H0"]
    fractions = (0.05, 0.2, 0.5, 0.7, 1.0)
    found = {
        size: hc.faithfulness_curve(model, rows, order, 0, fractions=fractions, metric=metric, batch_size=size)
        for size in (5, 64)
    }
    scores = [
        slow_scores(TOKENIZER, rows, hooked(model, [hc.component(name) for name in order[:n]], rows.first))[:, column]
        for n in (0, 1, 3, 4, 6)
    ]
    means = [float(score.mean()) for score in scores]
    expected = [(mean - means[0]) / (means[-1] - means[0]) for mean in means[1:]]
    assert abs(expected[0] - expected[1]) > 0.01
    full = slow_scores(TOKENIZER, rows, slow_logits(MODULE, TOKENIZER, rows.first))[:, column]
    np.testing.assert_allclose(scores[-1], full, atol=1e-9)
    for curve in found.values():
        assert curve.dropped == (0.05,)
        np.testing.assert_allclose(curve.to_frame()["faithfulness"], expected, atol=1e-7)
        np.testing.assert_allclose(curve.values["full"], full, atol=1e-9)
    gaps = np.diff(fractions[1:])
    area = ((np.array(expected[1:]) + expected[:-1]) / 2 * gaps).sum()
    assert found[64].cpr.value == pytest.approx(area, abs=1e-7)


def test_a_sample_has_the_losses_of_hooks_on_the_module(model, monkeypatch) -> None:
    for module, name in ((starts, "BEST_ROUNDS"), (exclusion, "ROUNDS"), (exclusion, "REPAIRS")):
        monkeypatch.setattr(module, name, 2)
    sample = hc.sample_subnetworks(model, EXAMPLES, 0.5, 0.4, **SAMPLE)
    assert len(sample.universe) == 6
    plan = draw_plan([EXAMPLES], [0], ROWS, starts.BATCH_SIZE)
    rows = EXAMPLES.rows(np.array(plan.train[0]))
    assert len(rows) == sample.settings["rows"] >= starts.BATCH_SIZE
    full = torch.stack(slow_logits(MODULE, TOKENIZER, rows.first)).log_softmax(-1)
    losses = {}
    for kept in combinations(sample.universe, 3):
        log_p = hooked(model, kept, rows.first).log_softmax(-1)
        by_row = (full.exp() * (full - log_p)).sum(-1)
        losses[frozenset(kept)] = float(by_row.mean())
    assert len({round(loss, 6) for loss in losses.values()}) == 20
    assert losses[frozenset(sample.best.kept)] == pytest.approx(sample.best_loss, rel=1e-5)
    drawn = {tuple(mask.tolist()): float(loss) for mask, loss in zip(
        sample.masks.flatten(0, 2), sample.losses.flatten(), strict=True
    )}  # fmt: skip
    assert len(drawn) > 1
    for mask, loss in drawn.items():
        kept = frozenset(item for item, on in zip(sample.universe, mask, strict=True) if on)
        assert loss == pytest.approx(losses[kept], rel=1e-5)


def test_a_bound_that_is_chosen_counts_answers_above_foils(model) -> None:
    """Without answers it counts rows whose most likely word stays that of the full model."""
    kept, rows = set(model.components) - {hc.Head(1, 1)}, torch.tensor([5, 0, 3, 11, 30, 8, 21, 22, 39, 17])
    masked = hooked(model, kept, [EXAMPLES.first[row] for row in rows.tolist()])
    above = slow_scores(TOKENIZER, EXAMPLES.rows(rows.tolist()), masked)[:, 2].bool()
    same = masked.argmax(-1) == torch.stack(slow_logits(MODULE, TOKENIZER, EXAMPLES.first))[rows].argmax(-1)
    for data, expected in ((EXAMPLES, above), (UNLABELLED, same)):
        assert 0 < int(expected.sum()) < len(rows)
        goal = Objective.of(model, [data], 0, "heads+mlps", "kl", (), 16, with_gold=all_scored(model, [data]))
        gates = torch.tensor([float(item in kept) for item in goal.universe], dtype=torch.float64)
        assert torch.equal(goal.pool.right(goal.logits(gates, rows), rows), expected)


def several_tokens() -> hc.Examples:
    return hc.Examples(EXAMPLES.first, answer=[" Zachary"] * len(EXAMPLES), foil=[" Mary"] * len(EXAMPLES))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: hc.faithfulness_curve(m, several_tokens(), m.components, 0), LabelError, "'Zachary' is|Zachary"),
        (lambda m: hc.faithfulness_curve(m, UNLABELLED, m.components, 0), HCError, "answer"),
        (lambda m: hc.sample_subnetworks(m, several_tokens(), objective="task", **SAMPLE), LabelError, "Zachary"),
        (lambda m: hc.sample_subnetworks(m, UNLABELLED, objective="task", **SAMPLE), HCError, "answer"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_any_pass(model, monkeypatch, call, error, message) -> None:
    monkeypatch.setattr(type(model), "run", lambda *given, **named: pytest.fail("the model ran"))
    monkeypatch.setattr(type(model), "run_edits", lambda *given, **named: pytest.fail("the model ran"))
    with pytest.raises(error, match=message):
        call(model)
