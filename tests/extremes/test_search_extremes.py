"""The ends equal those of all masks where there are few, resume to the same, and count only beyond permuted labels."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from extremes_world import ALL, ROWS, made_task
from pieces_work import Inline

from hc_interp import figures, testbeds
from hc_interp.components import Head
from hc_interp.errors import DataError, HCError, ResultError, SearchError
from hc_interp.evaluation.evaluate import named_subnetworks
from hc_interp.evaluation.result import VALIDATION
from hc_interp.extremes import search_extremes as module
from hc_interp.extremes.result import FULL, PAIRS, SYSTEMS, Extremes
from hc_interp.extremes.rows import HELD_OUT, SELECT, TEST
from hc_interp.extremes.search_extremes import search_extremes
from hc_interp.interventions.nodes import Keep
from hc_interp.records.result import read
from hc_interp.search.sampling import by_workers
from hc_interp.subnetwork import Subnetwork
from hc_interp.testbeds import language

SMALL = {"rows": ROWS, "rounds": 6, "steps": 4}

pytestmark = pytest.mark.filterwarnings("ignore:The full model answers")  # its labels are random


def searched(world, **more) -> Extremes:
    settings = SMALL | {"epsilon": world.epsilon, "means": world.means} | more
    return search_extremes(world.model, world.data, world.task, "heuristic", 0.5, **settings)


@pytest.fixture(scope="module")
def found(world) -> Extremes:
    return searched(world)


def separation(world, subnetwork: Subnetwork, found: Extremes, part: str) -> float:
    """By its definition: one example against one other."""
    s = {}
    for block, rows in found.scores[part].rows.items():
        examples = world.task.case(block.removeprefix("case "))
        chosen = examples.rows([examples.id.index(name) for name in rows.ids])
        batch = world.model.tokenize(chosen.first, chosen.second)
        logits = world.model.logits(batch, [Keep(subnetwork, world.means)])
        s[block] = (logits[:, 0] - logits[:, 1:].logsumexp(1)).tolist()
    pairs = []
    kinds = world.task.heuristics["heuristic"]
    for right, wrong in product(*([case for case in kind if f"case {case}" in s] for kind in kinds)):
        wins = [float(a > b) + 0.5 * float(a == b) for a in s[f"case {right}"] for b in s[f"case {wrong}"]]
        pairs.append(np.mean(wins))
    return float(np.mean(pairs))


def test_the_ends_are_those_of_all_masks_within_the_bound(world, found):
    items = found.universe
    inside = ALL[world.losses <= found.bound]
    assert 50 < len(inside) < 200
    assert found.settings["masks_measured"] < 0.6 * len(ALL)  # it is a search, not a list
    nets = [Subnetwork(frozenset(np.array(items, dtype=object)[mask]), items) for mask in inside]
    every = [separation(world, net, found, SELECT) for net in nets]
    ends = dict(zip(SYSTEMS, np.asarray(found.separation(SELECT).value), strict=True))
    assert ends["low"] == pytest.approx(min(every), abs=1e-9)
    assert ends["high"] == pytest.approx(max(every), abs=1e-9)
    for net in (found.low, found.high):
        assert net in nets


def test_what_is_reported_of_an_end_is_its_separation_on_each_part(world, found):
    for part in (SELECT, TEST, HELD_OUT):
        at = found.scores[part].names.index("high")
        assert np.asarray(found.separation(part).value)[at] == pytest.approx(
            separation(world, found.high, found, part), abs=1e-9
        )
    frame = found.to_frame().set_index("system")
    assert frame.loc["low", "optimism"] == pytest.approx(frame.loc["low", SELECT] - frame.loc["low", TEST])
    values = np.asarray(found.separation().value)
    assert float(found.difference().value) == pytest.approx(values[3] - values[2])
    assert frame.loc["low", SELECT] == pytest.approx(found.control_low[0])
    assert frame.loc["high", SELECT] == pytest.approx(found.control_high[0])
    assert frame.loc["best", SELECT] == pytest.approx(found.control_best[0])


def test_parts_share_neither_words_nor_templates(world, found):
    words, templates = {}, {}
    for part, scores in found.scores.items():
        for block, rows in scores.rows.items():
            case = block.removeprefix("case ")
            examples = world.task.case(case)
            for name in rows.ids:
                row = examples.id.index(name)
                words.setdefault(part, set()).update((*examples.units["noun"][row], *examples.units["verb"][row]))
                templates.setdefault((part, case), set()).update(examples.units["template"][row])
    assert not words[SELECT] & words[TEST]
    assert not words[SELECT] & words[HELD_OUT]
    cases = {part: {case for other, case in templates if other == part} for part in found.scores}
    assert cases[SELECT] == cases[TEST]
    assert not cases[SELECT] & cases[HELD_OUT]
    assert set(found.settings["held_out"]) == cases[HELD_OUT]
    for case in cases[SELECT]:
        assert not templates[SELECT, case] & templates[TEST, case]


def test_labels_that_say_nothing_give_ends_within_those_of_permuted_labels(found):
    frame = found.control
    assert len(frame) == 21
    assert frame["low"][1:].min() <= frame["low"][0] <= frame["low"][1:].max()
    assert frame["high"][1:].min() <= frame["high"][0] <= frame["high"][1:].max()
    assert not found.counts("low")
    assert not found.counts("high")
    assert "does NOT count" in repr(found)
    assert found.summary.count("It does NOT count") == 2


def answering(found: Extremes, n: int, worse: float = 0.0) -> Extremes:
    """With `n` fresh examples, all of which are answered rightly but for a share of the low end's answers."""
    right = torch.ones(len(SYSTEMS), n, dtype=torch.bool)
    right[found.in_domain.names.index("low"), : round(worse * n)] = False
    ids = tuple(map(str, range(n)))
    made = replace(
        found.in_domain, correct={VALIDATION: right}, kl=None, ids={VALIDATION: ids}, sources={VALIDATION: ids}
    )
    return replace(found, in_domain=made)


def test_an_end_that_is_not_equal_in_domain_does_not_count(found):
    low = found.control_low.copy()
    low[0] = 0.0
    made = replace(found, control_low=low)
    for n, worse, equal in ((2000, 0.0, "yes"), (2000, 0.05, "no"), (100, 0.0, "open")):
        told = answering(made, n, worse)
        assert told.equal("low") == equal
        assert told.counts("low") == (equal == "yes")
        assert told.to_frame().set_index("system").loc["low", "equal"] == equal
    assert "in domain it does NOT answer as the best mask does" in answering(made, 2000, 0.05).summary
    assert "within one point, is open" in answering(made, 100).summary
    assert answering(made, 2000, 0.05).equal("high") == "yes"


def test_an_end_counts_beyond_all_permuted_ones(found):
    low, high = found.control_low.copy(), found.control_high.copy()
    low[0], high[0] = 0.0, 1.0
    made = replace(answering(found, 2000), control_low=low, control_high=high)
    assert made.p == {"low": 1 / 21, "high": 1 / 21}
    assert made.p_beyond_half == made.p
    assert made.counts("low")
    low[1], best = -0.2, made.control_best.copy()
    best[1] = best[0]
    assert replace(made, control_low=low, control_best=best).p["low"] == 2 / 21


def test_an_end_below_one_half_is_called_reversed(found):
    rows = found.scores[TEST].rows
    turned = {}
    for block, part in rows.items():
        s = part.s.copy()
        s[2] = (-5.0 if block.startswith("case r") else 5.0) + 0.01 * np.arange(s.shape[1])
        s[3] = -s[2]
        turned[block] = replace(part, s=s)
    made = replace(found, scores=found.scores | {TEST: replace(found.scores[TEST], rows=turned)})
    assert made.reversed("low")
    assert not made.reversed("high")
    assert "low 0.00 (reversed)" in repr(made)
    assert "The low end separates 0.00 [0.00, 0.00] on test rows (reversed)," in made.summary


def test_in_domain_equality_is_paired_on_examples_that_the_search_never_saw(found, world):
    names, right = found.in_domain.names, found.in_domain.correct[VALIDATION].double().numpy()
    for (first, second), row in zip(PAIRS, found.equality.to_dict("records"), strict=True):
        difference = right[names.index(first)] - right[names.index(second)]
        assert row["difference"] == pytest.approx(difference.mean())
        assert row["n"] == len(world.task.validation)
    same = found.in_domain.correct[VALIDATION].clone()
    same[names.index("high")] = same[names.index("low")]
    made = replace(found, in_domain=replace(found.in_domain, correct={VALIDATION: same}))
    assert made.equality["equal"][0] == "open"  # 60 examples without a difference do not show that it is below a point
    assert made.equality["high"][0] == pytest.approx(0.06, abs=0.005)


def test_validation_examples_that_define_the_loss_are_not_fresh(world):
    mixed = world.task.validation
    only = replace(world.task, validation=mixed)
    got = search_extremes(world.model, mixed, only, None, 0.5, 1.0, world.means, **SMALL | {"rounds": 1, "rows": 16})
    assert 0 < len(got.in_domain.ids[VALIDATION]) < len(mixed)


def test_the_same_seed_gives_the_same_ends_also_after_an_interruption(found, world, tmp_path, monkeypatch):
    class Stopped(Exception):
        pass

    put = module.ExtremesFolder.write_round

    def stop_after(number: int):
        def write(self, n, done):
            put(self, n, done)
            if n == number:
                raise Stopped

        return write

    for number in (0, 3):
        monkeypatch.setattr(module.ExtremesFolder, "write_round", stop_after(number))
        with pytest.raises(Stopped):
            searched(world, resume=tmp_path)
    monkeypatch.setattr(module.ExtremesFolder, "write_round", put)
    resumed = searched(world, resume=tmp_path)
    assert torch.equal(resumed.masks, found.masks)
    assert torch.equal(resumed.losses, found.losses)
    assert resumed.control.equals(found.control)
    assert resumed.to_frame().equals(found.to_frame())
    assert resumed.settings == found.settings
    more = searched(world, resume=tmp_path, rounds=7)
    assert torch.equal(more.masks[: len(found.masks)], found.masks)
    for change in ({"seed": 1}, {"permutations": 21}, {"held_out": []}, {"means": 0}, {"max_per_case": 5}):
        with pytest.raises(ResultError, match="another model, data, task, means or settings"):
            searched(world, resume=tmp_path, **change)


def test_a_result_is_saved_whole(found, tmp_path):
    again = read(found.save(tmp_path / "extremes.json"))
    assert isinstance(again, Extremes)
    assert repr(again) == repr(found)
    assert again.summary == found.summary
    assert again.to_frame().equals(found.to_frame())
    assert again.control.equals(found.control)
    assert again.equality.equals(found.equality)
    assert "<table" in found._repr_html_()


def test_ends_can_be_evaluated_by_name(found):
    assert list(found.subnetworks) == ["best", "low", "high"]
    assert found.scores[TEST].names == (FULL, "best", "low", "high")
    assert {net.sparsity for net in found.subnetworks.values()} == {0.5}
    named = named_subnetworks(found)  # what hc.evaluate(model, task, found, means) evaluates
    assert named == found.subnetworks


def test_other_subnetworks_are_measured_beside_the_ends(world, found):
    frame = found.to_frame().set_index("system")
    given = {"ends": found, "half": found.best, "all": [Subnetwork(found.universe, found.universe)]}
    got = searched(world, rounds=1, beside=given)
    beside = got.beside
    assert beside["group"].tolist() == ["ends"] * 3 + ["half", "all"]
    assert beside["components"].tolist() == [6, 6, 6, 6, 12]
    for i, system in enumerate(("best", "low", "high", "best", FULL)):
        assert beside["loss"][i] == pytest.approx(frame.loc[system, "loss"], abs=1e-5)
        for part in (SELECT, TEST, HELD_OUT):
            assert beside[part][i] == pytest.approx(frame.loc[system, part], abs=1e-6)
    with pytest.raises(SearchError, match="'heads' of other components than the 12"):
        searched(world, beside={"heads": Subnetwork([Head(0, 0)], [Head(0, 0), Head(0, 1)])})


@pytest.mark.parametrize("width", ["single", "double"])
def test_the_figure_has_all_masks_the_ends_and_the_bound(found, width):
    beside = pd.DataFrame({"group": ["a", "a", "b"], "components": 6, "loss": 0.1, SELECT: 0.4, TEST: 0.6})
    figure = figures.extremes(replace(found, beside=beside), width=width)
    cloud, *others = figure.plot.data
    assert len(cloud.x) == len(found.masks)
    frame = found.to_frame().set_index("system")
    for part, axis in ((SELECT, "x"), (TEST, "x2")):
        drawn = {trace.name: trace for trace in others if trace.xaxis == axis}
        assert drawn["low end"].y == (frame.loc["low", part],)
        assert drawn["high end"].x == (frame.loc["high", "loss"],)
        assert len(drawn["a"].x) == 2
    assert [line.x0 for line in figure.plot.layout.shapes][::2] == [found.bound] * 2
    assert "The low end does NOT count" in figure.caption
    assert " not " in figure.caption
    assert "extremes" in figures.draw(found)


def test_without_held_out_cases_the_summary_says_so(world):
    got = searched(world, held_out=[], rounds=1, components="heads", epsilon=10 * world.epsilon)
    assert got.parts == (SELECT, TEST)
    assert "No cases were held out" in got.summary
    assert set(got.universe) == {Head(layer, head) for layer in range(3) for head in range(3)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sparsity": 50}, "like 0.5"),
        ({"sparsity": 0.01}, "keeps 12 of 12 components"),
        ({"epsilon": 0}, "a loss above 0"),
        ({"permutations": 19}, "permutations=19 was given. Expected a whole number from 20"),
        ({"rounds": 0}, "a whole number from 1"),
        ({"rows": 2.5}, "a whole number from 16"),
        ({"max_per_case": 4}, "a whole number from 5"),
        ({"fresh": True}, "a whole number from 2"),
        ({"seed": -1}, "a whole number from 0"),
        ({"components": "mlps"}, "components='mlps'"),
        ({"objective": "loss"}, "objective='loss'"),
        ({"held_out": "r1"}, r"Expected a list of cases, like \['r1'\]"),
        ({"held_out": ["r1"]}, "names 0 of the 3 cases where the heuristic is wrong"),
        ({"held_out": ["r1", "r2", "r3", "w1"]}, "names 3 of the 3 cases where the heuristic is right"),
    ],
)
def test_settings_without_meaning_are_refused_before_the_work(world, settings, message):
    given = {"sparsity": 0.5, "epsilon": 0.1} | settings
    with pytest.raises(SearchError, match=message):
        search_extremes(world.model, world.data, world.task, **given)


def test_tasks_on_which_nothing_can_be_searched_are_refused(world):
    def refused(error, message, task, heuristic=None, **more):
        with pytest.raises(error, match=message):
            search_extremes(world.model, world.data, task, heuristic, 0.5, 0.1, **more)

    task = world.task
    refused(DataError, "was given a Examples as its task. Expected a Task", task.validation)
    refused(HCError, "Expected one of 'heuristic'", task, "overlap")
    refused(HCError, "does not say what a heuristic would answer", replace(task, heuristic={}))
    refused(HCError, "Expected cases of both kinds", replace(task, heuristic={"r1": True}))
    refused(DataError, "has no validation split", replace(task, validation=None))
    refused(DataError, "did you mean|it has", task, held_out=["r9", "w1"])
    part = replace(task, heuristic={case: case < "s" for case in ("r1", "r2", "w1", "w2")})
    refused(SearchError, "'r3', which is no case of the heuristic", part, held_out=["r3", "w1"])
    refused(DataError, r"has \d examples for .* Give the task more examples of the case", made_task(30))
    refused(DataError, "give data= another split", replace(task, validation=task.validation.rows([0])))
    with pytest.raises(HCError, match="level"):
        search_extremes(world.model, world.data, task, None, 0.5, 0.1, level=95)


def test_an_end_counts_where_a_circuit_for_the_order_of_words_was_built_in():
    """The best mask does not need it, so it separates as a coin; some good masks keep it."""
    built = testbeds.competing_subnetworks(seed=0)
    shares = {"same": 0.45, "one": 0.45, "both": 0.1}
    more = replace(built.task, validation=language.examples(600, shares, 1, "validation"))
    found = search_extremes(
        built.model,
        built.task.train,
        more,
        None,
        0.5,
        0.014,
        built.means,
        rows=32,
        rounds=2,
        steps=20,
        max_per_case=30,
    )  # fmt: skip
    full, best, low, high = np.asarray(found.separation().value)
    assert full == high == 1
    assert best < 0.7
    assert low < 0.7
    assert found.counts("high")
    assert not found.counts("low")
    assert float(found.difference().low) > 0
    assert "The high end separates 1.00 [1.00, 1.00] on test rows" in found.summary


def test_workers_give_the_same_files(world, tmp_path, monkeypatch):
    monkeypatch.setattr(by_workers, "LEAST", 0)
    executor = Inline(pieces=tmp_path / "spread")  # as SLURM's, whose folder is that of a call without resume=
    alone = searched(world, rounds=2, resume=tmp_path / "alone")
    spread = searched(world, rounds=2, executor=executor)
    stores = [order.store for order in executor.orders]
    pieces = [store.piece if store.piece == "run" else store.folder.name for store in stores]
    assert pieces.count("run") == 2
    assert pieces.count("losses") >= 3
    assert pieces.count("scores") >= 3
    paths = sorted((tmp_path / "alone").iterdir())
    assert len(paths) == 4  # the starts and three rounds
    for path in (*paths, alone.save(tmp_path / "alone.json")):
        there = spread.save(tmp_path / "spread.json") if path.name == "alone.json" else tmp_path / "spread" / path.name
        assert there.read_bytes() == path.read_bytes()
    assert not {"losses", "scores"} & {path.name for path in (tmp_path / "spread").iterdir()}
