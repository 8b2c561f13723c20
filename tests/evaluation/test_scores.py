"""Scores without thresholds: slow twins, invariances, and what an evaluation gives of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import WORDS, word_tokenizer
from tiny import LABELS, tiny_module

import hc_interp as hc
from hc_interp.errors import DataError, HCError
from hc_interp.evaluation import recentred
from hc_interp.evaluation.score_data import heuristic_named
from hc_interp.evaluation.scores import IN_DOMAIN, ScoreRows, Scores
from hc_interp.statistics.units import Units

N = 3  # systems


def made(seed: int, transform=lambda s: s, n: int = 12) -> Scores:
    """Random scores of two right and two wrong cases, of pairs and in domain, passed through `transform`.

    They are eighths, which have ties and exact sums.
    """
    rng = np.random.default_rng(seed)

    def rows(name: str, shift: float, size: int = n, pairs: bool = False, gold=None) -> ScoreRows:
        s, other = ((8 * rng.normal(shift * k, 1, (N, size))).round() / 8 for k in (1, 0))
        gold = np.full(size, shift > 0) if gold is None else gold
        s = s + 3 * gold if name == IN_DOMAIN else s
        levels = {
            "source": rng.permutation(size)[:, None].astype(np.int32) + 100 * len(name),
            "noun": rng.integers(0, 6, (size, 2)).astype(np.int32),
        }
        ids = tuple(f"{name} {i}" for i in range(size))
        return ScoreRows(transform(s), gold, levels, ids, transform(other) if pairs else None)

    blocks = {f"case {c}": rows(c, shift) for c, shift in (("r1", 1.0), ("r2", 2.0), ("w1", 0.0), ("w2", -0.5))}
    blocks |= {"order r1": rows("o", 2.0, pairs=True), "order w2": rows("oo", 1.0, 7, pairs=True)}
    blocks |= {"overlap w1": rows("v", 1.0, pairs=True)}
    blocks |= {IN_DOMAIN: rows(IN_DOMAIN, 0.0, 40, gold=np.arange(40) % 2 == 0)}
    return Scores(tuple("abc"), {"h": (("r1", "r2"), ("w1", "w2"))}, blocks, 0.95, seed)


def wins(x: float, y: float) -> float:
    return float(x > y) + 0.5 * float(x == y)


@given(st.integers(0, 500))
@settings(max_examples=15)
def test_each_statistic_is_that_of_a_loop(seed: int) -> None:
    scores = made(seed)
    for k in range(N):
        rows = {name: part.s[k] for name, part in scores.rows.items()}
        aucs = [
            np.mean([wins(x, y) for x in rows[f"case {a}"] for y in rows[f"case {b}"]])
            for a in ("r1", "r2")
            for b in ("w1", "w2")
        ]
        assert scores.separation("h").value[k] == pytest.approx(np.mean(aucs))
        gold = scores.rows[IN_DOMAIN].gold
        inside, outside = rows[IN_DOMAIN][gold], rows[IN_DOMAIN][~gold]
        assert scores.in_domain_auc.value[k] == pytest.approx(np.mean([wins(x, y) for x in inside for y in outside]))
        assert scores.in_domain_gap.value[k] == pytest.approx(inside.mean() - outside.mean())
        changes = [x - y for name in ("order r1", "order w2")
                   for x, y in zip(rows[name], scores.rows[name].other[k], strict=True)]  # fmt: skip
        assert scores.order_effect("h").value[k] == pytest.approx(np.mean(changes))
        sensitivity = np.mean(changes) / (inside.mean() - outside.mean())
        defined = scores.interval(scores.in_domain_gap).excludes(0.0)[k]
        assert scores.order_sensitivity("h").value[k] == pytest.approx(sensitivity if defined else np.nan, nan_ok=True)
        pairs = scores.rows["overlap w1"]
        assert scores.pull("h").value[k] == pytest.approx(
            np.mean([wins(x, y) for x, y in zip(pairs.s[k], pairs.other[k], strict=True)])
        )


@given(st.integers(0, 200))
@settings(max_examples=10)
def test_a_monotone_map_of_s_leaves_ranks_and_a_scale_or_shift_leaves_sensitivity(seed: int) -> None:
    scores, bent = made(seed), made(seed, lambda s: s**3 + 4 * s)
    for name in ("separation", "pull"):
        assert getattr(bent, name)("h").value == pytest.approx(getattr(scores, name)("h").value)
    assert bent.in_domain_auc.value == pytest.approx(scores.in_domain_auc.value)
    moved = made(seed, lambda s: 7 * s - 20)
    assert moved.order_sensitivity("h").value == pytest.approx(scores.order_sensitivity("h").value, nan_ok=True)


def test_a_shift_of_s_leaves_recentred_accuracies() -> None:
    before, after = (made(5, transform).recentred("h") for transform in (lambda s: s, lambda s: 8 * s - 20))
    for name, interval in before.items():
        for end in ("value", "low", "high"):
            assert getattr(after[name], end) == pytest.approx(getattr(interval, end))


def test_intervals_are_those_of_the_units_of_the_rows_that_a_statistic_depends_on() -> None:
    scores = made(3)
    effect = scores.order_effect("h")
    levels = {"source": [], "noun": []}
    for name in ("order r1", "order w2"):
        for unit, rows in scores.rows[name].levels.items():
            levels[unit] += [tuple(map(str, row)) for row in rows.tolist()]
    blocks = [len(scores.rows[name].ids) for name in ("order r1", "order w2")]
    alone = Units.of(levels, blocks).interval(effect.value, np.concatenate(list(effect.influence.values())))
    assert scores.interval(effect).low == pytest.approx(alone.low)


def test_a_system_without_an_in_domain_gap_has_no_sensitivity() -> None:
    scores = made(0)
    part = scores.rows[IN_DOMAIN]
    flat = part.s.copy()
    flat[1] = np.where(np.arange(40) % 4 < 2, 1.0, -1.0)
    scores = replace(scores, rows=scores.rows | {IN_DOMAIN: replace(part, s=flat)})
    assert np.isnan(scores.order_sensitivity("h").value).tolist() == [False, True, False]


def test_a_pull_of_all_pairs_has_the_exact_interval() -> None:
    scores = made(0)
    pairs = scores.rows["overlap w1"]
    sure = replace(pairs, other=pairs.s - 1)
    found = replace(scores, rows=scores.rows | {"overlap w1": sure}).pull_interval("h")
    assert found.value.tolist() == [1, 1, 1]
    assert found.low == pytest.approx(0.025 ** (1 / 12))


@given(st.integers(0, 300), st.integers(2, 30))
@settings(max_examples=30)
def test_the_threshold_answers_as_often_as_gold(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    s, gold = rng.normal(size=n), rng.random(n) < 0.5
    assert (s > recentred.threshold(s, gold)).sum() == gold.sum()
    counts = rng.multinomial(n, np.full(n, 1 / n)).astype(float)
    repeated = np.repeat(np.arange(n), counts.astype(int))
    at = recentred.threshold(s, gold, counts)
    assert abs((s[repeated] > at).sum() - gold[repeated].sum()) <= counts.max()


def test_the_interval_of_a_recentred_accuracy_counts_the_threshold() -> None:
    """Where every example of a case is the same, all variance comes from the threshold."""
    scores = made(1)
    same = {f"case {c}": replace(scores.rows[f"case {c}"], s=np.full((N, 12), 1.5)) for c in ("r1", "r2")}
    found = replace(scores, rows=scores.rows | same).recentred("h")["right"]
    assert (found.high > found.low).any()


def test_the_variance_over_thresholds_is_that_of_the_accuracies_at_each(monkeypatch) -> None:
    """The accuracies written out for each resampled threshold; some rows lie on one."""
    scores = made(2)
    part = scores.rows[IN_DOMAIN]
    sources = part.levels["source"][:, 0].tolist()
    fitted = recentred.reference_half(sources, scores.seed)
    kept = [sources[i] for i in np.flatnonzero(fitted)]
    drawn = recentred.resampled_thresholds(part.s[:, fitted], part.gold[fitted], kept, scores.seed)
    above = {
        case: [scores.rows[f"case {case}"].s > cut[:, None] for cut in drawn.T] for case in ("r1", "r2", "w1", "w2")
    }
    mean = {case: np.array([rows.mean(axis=1) for rows in at_each]) for case, at_each in above.items()}
    expected = {
        "right": (mean["r1"] + mean["r2"]) / 2,
        "wrong": 1 - (mean["w1"] + mean["w2"]) / 2,
        "in_domain": np.array([((part.s > cut[:, None]) == part.gold)[:, ~fitted].mean(axis=1) for cut in drawn.T]),
    }
    monkeypatch.setattr(Scores, "interval", lambda scores, estimate, more=0.0: more)
    found = scores.recentred("h")
    assert list(found) == list(expected)
    for name, accuracies in expected.items():
        assert (accuracies.var(axis=0) > 0).all()
        np.testing.assert_allclose(found[name], accuracies.var(axis=0), rtol=1e-9)


def test_rows_above_a_threshold_are_counted_as_they_are_compared() -> None:
    s, cuts = np.array([[0.5, -1.0, 0.5, 2.0]]), np.array([[-np.inf, -1.0, 0.4, 0.5, 2.0, np.inf]])
    assert recentred.counts_above(s, cuts).tolist() == [[(s[0] > cut).sum() for cut in cuts[0]]]


def test_rows_of_one_source_are_in_one_half() -> None:
    sources = [f"s{i // 3}" for i in range(30)]
    half = recentred.reference_half(sources, 0)
    assert 0 < half.sum() < 30
    assert len({(source, fitted) for source, fitted in zip(sources, half.tolist(), strict=True)}) == 10
    assert not np.array_equal(half, recentred.reference_half(sources, 1))


def texts(n: int, seed: int, label=None) -> hc.Examples:
    rng = np.random.default_rng(seed)
    first, second = ([" ".join(rng.choice(WORDS, 4)) for _ in range(n)] for _ in range(2))
    labels = [label] * n if label is not None else rng.integers(0, 3, n).tolist()
    return hc.Examples(first, second, labels, source=[f"{seed} {i}" for i in range(n)], classes=LABELS)


@pytest.fixture(scope="module")
def model():
    return hc.load(tiny_module("bert", seed=1), tokenizer=word_tokenizer(WORDS), labels=LABELS)


@pytest.fixture(scope="module")
def task() -> hc.Task:
    pairs = hc.ContrastPairs(texts(9, 5, 1), texts(9, 6, 2), [1] * 9, kind="overlap")
    return hc.Task(
        "scored", texts(20, 0), texts(20, 1), {"yes": texts(8, 2, 0), "no": texts(8, 3, 1)}, classes=LABELS,
        pairs={("no", "overlap"): pairs}, heuristic={"yes": True, "no": False}, heuristic_label=0,
    )  # fmt: skip


def test_an_evaluation_keeps_s_and_gives_its_statistics(model, task, tmp_path) -> None:
    whole = hc.Subnetwork(model.components, model.components)
    table = hc.evaluate(model, task, [whole.without("L0H0")], means=0)
    scores = table.heuristic_scores
    for block, part in ((IN_DOMAIN, task.validation), ("case yes", task.case("yes"))):
        logits = torch.cat([model.logits(model.tokenize(part[[i]]), [hc.Ablate("L0H0", 0)]) for i in range(len(part))])
        expected = logits[:, 0] - logits[:, 1:].logsumexp(1)
        assert scores.rows[block].s[1] == pytest.approx(expected.numpy(), abs=1e-5)
    frame = table.scores()
    assert frame["subnetwork"].tolist() == ["full", "0"]
    assert frame["separation"].tolist() == pytest.approx(scores.separation("heuristic").value.tolist())
    assert frame["pull"].notna().all()
    assert hc.Evaluation.load(table.save(tmp_path / "e.json")).scores().equals(frame)
    assert hc.evaluate(model, task, pull_pairs=0).scores()["pull"].isna().all()


def test_without_cases_of_both_kinds_there_are_no_scores(model, task) -> None:
    with pytest.raises(DataError, match="has no scores of a heuristic"):
        hc.evaluate(model, task, cases=["yes"]).scores()
    with pytest.raises(DataError, match="pull_pairs is -1"):
        hc.evaluate(model, task, pull_pairs=-1)


def test_the_heuristic_is_the_only_one_or_named(task) -> None:
    assert heuristic_named(task, None) == "heuristic"
    with pytest.raises(HCError, match="Expected one of 'heuristic'"):
        heuristic_named(task, "length")
    with pytest.raises(HCError, match="is right on yes, wrong on none"):
        heuristic_named(replace(task, cases={"yes": task.case("yes")}, heuristic={"yes": True}, pairs=None), None)
