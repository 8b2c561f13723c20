"""The sample equals the list of all masks where there are few, resumes to the same masks, and says what it is not."""

from copy import deepcopy
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from pieces_work import Inline, Jobs
from tiny import LABELS, tiny_batch, tiny_module

from hc_interp.components import MLP, Head
from hc_interp.data.parts import pick
from hc_interp.errors import HCError, LabelError, ResultError, SearchError
from hc_interp.heads.core import heuristic_core
from hc_interp.interventions.means import mean_activations
from hc_interp.models.load import load
from hc_interp.records.result import read
from hc_interp.search import sample_subnetworks as module
from hc_interp.search.objective import Objective
from hc_interp.search.plan import draw_plan
from hc_interp.search.sample_subnetworks import sample_subnetworks
from hc_interp.search.sampling import by_workers, starts
from hc_interp.search.sampling.sample import ESS, SubnetworkSample
from hc_interp.search.swaps import row_losses

N, KEPT, ROWS = 12, 6, 24
SMALL = {"chains": 4, "rows": ROWS, "warm_up": 20, "sweeps": 20, "steps": 4}
LEAST = SMALL | {"chains": 2, "warm_up": 10, "sweeps": 10, "steps": 1}  # where draws are not looked at
ROUNDS = starts.BEST_ROUNDS
ALL = np.array([[i in chosen for i in range(N)] for chosen in combinations(range(N), KEPT)])


def objective_of(model, rows, means, plan) -> Objective:
    parts = [part for group in plan.groups for part in pick([rows], group)]
    return Objective.of(model, parts, means, "heads+mlps", "kl", (), 16)


@pytest.fixture(scope="module", autouse=True)
def few_rounds():
    """Rounds of swaps for the best mask of all samples but `sample`; tests/search/test_swaps.py tests the swaps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starts, "BEST_ROUNDS", 3)
        yield


@pytest.fixture(scope="module")
def model():
    return load(tiny_module("bert", seed=5), labels=LABELS)


@pytest.fixture(scope="module")
def rows():
    return tiny_batch(80, 9)


@pytest.fixture(scope="module")
def means(model, rows):
    return mean_activations(model, rows)


@pytest.fixture(scope="module")
def every_loss(model, rows, means) -> np.ndarray:
    """The loss of every mask on the rows of the sample of seed 0."""
    plan = draw_plan([rows], [0], ROWS, module.BATCH_SIZE)
    goal = objective_of(model, rows, means, plan)
    return row_losses(goal, torch.from_numpy(ALL), plan.train_index(0)).mean(1).numpy()


@pytest.fixture(scope="module")
def epsilon(every_loss) -> float:
    """An eighth of all masks are good."""
    return float(np.quantile(every_loss, 0.125) - every_loss.min())


@pytest.fixture(scope="module")
def sample(model, rows, means, epsilon) -> SubnetworkSample:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starts, "BEST_ROUNDS", ROUNDS)
        return sample_subnetworks(model, rows, 0.5, epsilon, means=means, **SMALL | {"sweeps": 300})


def test_frequencies_are_those_of_all_good_masks(sample, every_loss):
    assert every_loss.min() <= sample.best_loss * (1 + 1e-6) < 1.02 * every_loss.min()
    assert sample.mixed
    for multiple in sample.multiples:
        good = ALL[every_loss <= sample.bound(multiple)]
        assert 5 < len(good) < 0.6 * len(ALL)
        found = sample.mixing(multiple)
        if not (found.ess > ESS).all():  # a Monte-Carlo error from fewer draws is itself unsure
            assert multiple < 1
            continue
        assert (np.abs(found.mean - good.mean(0)) < 4 * found.error).all()
        low, high = found.interval()
        assert ((low <= good.mean(0)) & (good.mean(0) <= high))[found.constant].all()


def test_the_shared_core_is_what_all_good_masks_keep(sample, every_loss):
    for multiple in sample.multiples:
        good = ALL[every_loss <= sample.bound(multiple)]
        kept = {item for item, always in zip(sample.universe, good.all(0), strict=True) if always}
        assert set(sample.shared_core(multiple)) == kept
    lowest = [every_loss[~ALL[:, i]].min() for i in range(N)]
    assert (sample.without["loss"].to_numpy() >= np.array(lowest) - 1e-9).all()
    lacking = sample.without_masks.diagonal()
    assert not lacking.any()


def test_every_draw_is_within_its_bound_and_of_the_same_size(sample, every_loss):
    by_mask = {mask.tobytes(): loss for mask, loss in zip(ALL, every_loss, strict=True)}
    for i, multiple in enumerate(sample.multiples):
        masks, losses = sample.masks[i].flatten(0, 1).numpy(), sample.losses[i].flatten().numpy()
        assert (masks.sum(1) == KEPT).all()
        assert losses.max() <= sample.bound(multiple)
        np.testing.assert_allclose(losses, [by_mask[mask.tobytes()] for mask in masks], rtol=1e-4, atol=1e-9)


@pytest.fixture(scope="module")
def whole(model, rows, means, epsilon) -> SubnetworkSample:
    """A short sample, made in one go."""
    return sample_subnetworks(model, rows, 0.5, epsilon, means=means, **SMALL)


def test_another_seed_gives_another_sample(whole, model, rows, means, epsilon):
    other = sample_subnetworks(model, rows, 0.5, epsilon, means=means, seed=1, **SMALL)
    assert (whole.masks != other.masks).any()


def test_a_sample_that_was_stopped_goes_on_to_the_same_masks(whole, model, rows, means, epsilon, tmp_path, monkeypatch):
    class Stopped(Exception):
        pass

    put = module.SampleFolder.write_block

    def stop_after(number: int):
        def write(self, n, block):
            put(self, n, block)
            if n == number:
                raise Stopped

        return write

    for number in (0, 1, 2):  # in the warm-up, at its end, while it is recorded
        monkeypatch.setattr(module.SampleFolder, "write_block", stop_after(number))
        with pytest.raises(Stopped):
            sample_subnetworks(model, rows, 0.5, epsilon, means=means, resume=tmp_path, **SMALL)
    monkeypatch.setattr(module.SampleFolder, "write_block", put)
    resumed = sample_subnetworks(model, rows, 0.5, epsilon, means=means, resume=tmp_path, **SMALL)
    assert (resumed.masks == whole.masks).all()
    assert (resumed.losses == whole.losses).all()
    assert resumed.without.equals(whole.without)
    assert resumed.settings == whole.settings
    more = sample_subnetworks(model, rows, 0.5, epsilon, means=means, resume=tmp_path, **SMALL | {"sweeps": 30})
    assert (more.masks[:, :, :20] == whole.masks).all()
    assert more.masks.shape[2] == 30


def test_a_folder_of_another_sample_is_refused(model, rows, means, epsilon, tmp_path):
    sample_subnetworks(model, rows, 0.5, epsilon, means=means, resume=tmp_path, **LEAST)
    for change in ({"seed": 1}, {"rows": 16}, {"chains": 5}, {"warm_up": 30}, {"interventions": []}):
        settings = LEAST | {"means": means} | change
        if change == {"interventions": []}:
            settings["means"] = 0
        with pytest.raises(ResultError, match="another model, data, means or settings"):
            sample_subnetworks(model, rows, 0.5, epsilon, resume=tmp_path, **settings)


def test_results_are_saved_whole(sample, tmp_path):
    again = read(sample.save(tmp_path / "sample.json"))
    assert isinstance(again, SubnetworkSample)
    assert (again.masks == sample.masks).all()
    assert again.to_frame().equals(sample.to_frame())
    assert repr(again) == repr(sample)


def test_the_table_has_a_row_for_each_component(sample):
    frame = sample.to_frame(0.5)
    assert frame["component"].tolist() == [str(item) for item in sample.universe]
    assert frame["frequency"].sum() == pytest.approx(KEPT)
    assert ((frame["low"] <= frame["frequency"]) & (frame["frequency"] <= frame["high"])).all()
    assert frame["in_core"].sum() == len(sample.shared_core(0.5))
    assert sample.typical_core(1.0) == tuple(
        i for i, f in zip(sample.universe, sample.mixing().mean, strict=True) if f == 1
    )


def test_fresh_losses_are_of_rows_that_were_held_out(sample, model, rows, means):
    plan = draw_plan([rows], [0], ROWS, module.BATCH_SIZE)
    assert not set(plan.held_out) & set(plan.train[0])
    assert len(sample.fresh) == module.FRESH
    assert sample.settings["held_out"] == len(plan.held_out)
    goal = objective_of(model, rows, means, plan)
    last = torch.tensor([[item in sample.draws(10**6)[-1].kept for item in sample.universe]])
    again = row_losses(goal, last, plan.held_out_index)[0]
    assert sample.fresh["fresh_loss"].iloc[-1] == pytest.approx(float(again.mean()), rel=1e-5)
    assert sample.fresh["standard_error"].iloc[-1] == pytest.approx(float(again.std()) / len(again) ** 0.5, rel=1e-5)


def test_draws_are_of_all_chains(sample):
    found = sample.draws(8)
    assert len(found) == 8
    assert len(sample.draws(10**6)) == 4 * 300
    assert {item.sparsity for item in found} == {0.5}


def test_what_all_of_its_subnetworks_keep_is_the_shared_core(sample):
    """Also where every draw keeps a component that a repair could spare."""
    always = sample.masks.clone()
    always[..., 0] = True
    lacking = sample.without_masks.clone()
    lacking[0] = torch.tensor([i >= KEPT for i in range(N)])
    assert not lacking[0, 0]
    without = sample.without.assign(loss=[sample.best_loss, *sample.without["loss"][1:]])
    made = replace(sample, masks=always, without=without, without_masks=lacking)
    assert sample.universe[0] not in made.shared_core()
    assert sample.universe[0] not in made.subnetworks[-1].kept
    for item in (sample, made):
        shared = set.intersection(*(set(subnetwork.kept) for subnetwork in item.subnetworks))
        assert shared == set(item.shared_core())
        assert set(heuristic_core(item).components) == shared
    needed = replace(made, without=without.assign(loss=[np.inf, *without["loss"][1:]]))
    assert sample.universe[0] in needed.shared_core()
    assert len(needed.subnetworks) == len(made.subnetworks) - 1


def test_a_sample_that_has_not_mixed_says_so(sample):
    stuck = sample.masks.clone()
    stuck[:, 0] = stuck[:, 0, :1]  # the first chain never moves
    made = replace(sample, masks=stuck)
    assert not made.mixed
    assert "NOT mixed, so no result: give more sweeps" in repr(made)
    assert "NOT" not in repr(sample)
    with pytest.raises(HCError, match="has not mixed, so its core is no result"):
        heuristic_core(made)


def test_a_bound_that_hardly_any_mask_reaches_is_no_result(model, rows, means):
    found = sample_subnetworks(model, rows, 0.5, 1e-12, means=means, **SMALL)
    assert found.losses.max() <= found.bound(2)
    assert len({item.kept for item in found.draws(100)}) < 5
    assert not found.mixed


@pytest.fixture(scope="module")
def unsure(planted_model):
    """Half of the components matter, and any of these changes answers."""
    module = deepcopy(planted_model.module)
    with torch.no_grad():
        module.classifier.weight.mul_(30)
        module.classifier.bias.zero_()
        logits = load(module, labels=LABELS).logits(replace(tiny_batch(80, 9), labels=None))
        module.classifier.bias.sub_(logits.mean(0))
    return load(module, labels=LABELS)


def test_epsilon_is_chosen_by_accuracy_and_by_error(unsure, rows):
    """Without labels it is agreement with the full model."""
    unlabelled = replace(rows, labels=None)
    labels = unsure.logits(unlabelled).argmax(-1)
    found = {}
    for by, given in (("by_accuracy", replace(rows, labels=labels)), ("by_agreement", unlabelled)):
        found[by] = sample_subnetworks(unsure, given, 0.5, **LEAST)
        chosen = found[by].settings["chosen_by"]
        assert found[by].epsilon == max(chosen.values())
        assert set(chosen) == {by, "by_error"}
        assert min(chosen.values()) > 0
    assert found["by_accuracy"].epsilon == found["by_agreement"].epsilon  # these labels are the full model's answers


def test_epsilon_is_not_chosen_where_accuracy_does_not_fall(model, rows, means):
    """All labels are of a class that no mask answers."""
    never = int(model.logits(replace(rows, labels=None)).sum(0).argmin())
    labels = torch.full((len(rows),), never)
    with pytest.raises(SearchError, match=r"accuracy falls by less than a point .* Give epsilon="):
        sample_subnetworks(model, replace(rows, labels=labels), 0.5, means=means, **LEAST)


def test_labels_are_not_read_where_nothing_needs_them(whole, model, rows, means, epsilon):
    unknown = replace(rows, labels=torch.full((len(rows),), 7))
    found = sample_subnetworks(model, unknown, 0.5, epsilon, means=means, **SMALL)
    assert (found.masks == whole.masks).all()
    with pytest.raises(LabelError):
        sample_subnetworks(model, unknown, 0.5, means=means, **LEAST)


def test_the_best_mask_is_within_every_bound(whole):
    assert whole.lowest_loss <= whole.best_loss
    lower = replace(whole, losses=whole.losses - whole.best_loss / 2)
    assert "was found later" in repr(lower)


def test_heads_alone_can_be_sampled(model, rows, means, epsilon):
    found = sample_subnetworks(model, rows, 0.5, 5 * epsilon, means=means, components="heads", **LEAST)
    assert set(found.universe) == {Head(layer, head) for layer in range(3) for head in range(3)}
    assert MLP(0) not in found.best.universe


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sparsity": 50}, "like 0.5"),
        ({"sparsity": 0}, "like 0.5"),
        ({"sparsity": 0.01}, "keeps 12 of 12 components"),
        ({"epsilon": 0}, "a loss above 0"),
        ({"epsilon": float("nan")}, "a loss above 0"),
        ({"chains": 1}, "chains=1 was given. Expected a whole number from 2"),
        ({"sweeps": 9}, "a whole number from 10"),
        ({"warm_up": 0}, "a whole number from 10"),
        ({"rows": 2.5}, "a whole number from 16"),
        ({"seed": -1}, "a whole number from 0"),
        ({"components": "mlps"}, "components='mlps'"),
        ({"objective": "loss"}, "objective='loss'"),
    ],
)
def test_settings_without_meaning_are_refused_before_the_work(model, rows, settings, message):
    with pytest.raises(SearchError, match=message):
        sample_subnetworks(model, rows, **{"sparsity": 0.5, "epsilon": 0.1} | settings)


def test_a_multiple_that_was_not_sampled_is_refused(sample):
    with pytest.raises(SearchError, match=r"a multiple of epsilon that was sampled: 0\.5, 1, 2"):
        sample.to_frame(3)


def test_workers_that_train_and_measure_give_the_same_files(model, rows, means, tmp_path, monkeypatch):
    monkeypatch.setattr(by_workers, "LEAST", 0)
    call = {"epsilon": 0.05, "means": means, **SMALL, "sweeps": 10}
    alone = sample_subnetworks(model, rows, **call, resume=tmp_path / "alone")
    for folder in (tmp_path / "kept", None):
        executor = Inline()
        spread = sample_subnetworks(model, rows, **call, resume=folder, executor=executor)
        stores = [order.store for order in executor.orders]
        pieces = [store.piece if store.piece == "run" else store.folder.name for store in stores]
        assert pieces.count("run") == 2  # half of the chains
        assert pieces.count("losses") > 10 * 2  # of every sweep
        assert spread.masks.equal(alone.masks)
        assert spread.losses.equal(alone.losses)
    for path in (tmp_path / "alone").iterdir():
        assert (tmp_path / "kept" / path.name).read_bytes() == path.read_bytes()
    assert not (tmp_path / "kept" / "losses").exists()
    again = sample_subnetworks(model, rows, **call, executor=(idle := Inline(pieces=tmp_path / "kept")))
    assert len(idle.orders) < len(pieces) / 2
    assert "run" not in {order.store.piece for order in idle.orders}
    assert again.masks.equal(alone.masks)


def test_jobs_that_wait_in_a_queue_train_the_starts_alone(model, rows, means, tmp_path, monkeypatch):
    monkeypatch.setattr(by_workers, "LEAST", 0)
    jobs = Jobs()
    sample_subnetworks(model, rows, epsilon=0.05, means=means, **SMALL | {"sweeps": 10}, resume=tmp_path, executor=jobs)
    assert {job.call[1][0].store.piece for array in jobs.arrays for job in array} == {"run"}
