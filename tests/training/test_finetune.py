"""Fine-tuning is deterministic, goes on after a kill to the same weights, and leaves its start alone."""

import copy
import subprocess
import sys
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import torch
from training_start import TASK, same, start_of, texts, weights

import hc_interp as hc
from hc_interp import progress
from hc_interp.errors import HCError, TrainingError
from hc_interp.metrics import group_cross_entropy, group_mask
from hc_interp.models.trainable import TrainableModel
from hc_interp.training import finetune as module_of_finetune
from hc_interp.training.folder import STATE, TrainingFolder
from hc_interp.training.phases import as_phases, draw
from hc_interp.training.plan import Plan
from hc_interp.training.trainer import Trainer

TESTS = Path(__file__).parents[1]
RATE = {"batch_size": 6, "lr": 3e-3}


def final(series: hc.ModelSeries) -> dict[str, torch.Tensor]:
    return weights(series[series.steps[-1]])


def test_the_start_does_not_change_and_step_0_is_the_start(start, train) -> None:
    before, fingerprint = weights(start), start.fingerprint
    series = train()
    assert same(weights(start), before)
    assert start.fingerprint == fingerprint
    assert not any(parameter.requires_grad for parameter in start.module.parameters())
    assert same(weights(series[0]), before)
    assert not same(final(series), before)


def test_one_seed_is_one_series_and_leaves_the_random_state_of_torch_alone(finished, train) -> None:
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    series = train()
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(5)
    assert all(same(weights(series[step]), weights(finished[step])) for step in finished)
    pd.testing.assert_frame_equal(series.metrics, finished.metrics, check_exact=True)
    assert not same(final(train("other", seed=1)), final(finished))


def test_dropout_is_the_models_own_and_drawn_by_the_seed(train) -> None:
    """Batches of all examples are the same for all seeds but for their order, which sums do not see in float64."""
    start, everything = start_of("bert", torch.float64), {"steps": 1, "batch_size": len(TASK.train)}

    def after(out, **more):
        return torch.cat([value.flatten() for value in final(train(out, start=start, **everything, **more)).values()])

    off = [after(f"off-{seed}", seed=seed, dropout=False) for seed in (0, 1)]
    on = [after(f"on-{seed}", seed=seed) for seed in (0, 1)]
    assert (off[0] - off[1]).abs().max() < 1e-7
    assert (on[0] - on[1]).abs().max() > 1e-4
    assert (on[0] - off[0]).abs().max() > 1e-4


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)])
def test_a_mode_of_the_caller_changes_nothing(mode, finished, train) -> None:
    with mode():
        series = train()
    assert same(final(series), final(finished))


def test_dropout_differs_from_step_to_step(train, monkeypatch) -> None:
    seeds = []
    monkeypatch.setattr(TrainableModel, "seed_dropout", lambda self, seed: seeds.append(seed))
    train()
    assert len(set(seeds)) == 5  # the first step's is also used for the trial before the training
    assert len(seeds) == 6


def plain_loop(start, steps: int, peak: float, told: dict, rows) -> torch.nn.Module:
    """Fine-tuning written down once more, on the plain module, without dropout."""
    module = copy.deepcopy(start.module).requires_grad_(True)
    matrices = [parameter for parameter in module.parameters() if parameter.ndim == 2]
    others = [parameter for parameter in module.parameters() if parameter.ndim == 1]
    warm_up, decay_to = round(steps * told["warm_up"]), told["decay_to"]
    groups = [{"params": matrices, "weight_decay": told["weight_decay"]}, {"params": others, "weight_decay": 0}]
    optimizer = torch.optim.AdamW(groups, betas=told["betas"])
    falling = [decay_to + (1 - decay_to) * (steps - i) / (steps - warm_up) for i in range(steps)]
    rates = [min((i + 1) / warm_up, falling[i]) * peak for i in range(steps)]
    for rate, index in zip(rates, rows, strict=True):
        batch = start.tokenize(TASK.train.rows(index))
        probabilities = module(batch.input_ids, **start.geometry.inputs(batch)).logits.softmax(-1)
        entailed = probabilities[:, 0]
        right = torch.where(batch.labels == 0, entailed, probabilities[:, 1] + probabilities[:, 2])
        optimizer.zero_grad()
        (-right.log().mean()).backward()
        norm = torch.stack([p.grad.norm() for p in module.parameters()]).norm()
        for parameter in module.parameters():
            parameter.grad *= min(1, 1 / norm)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    return module


USUAL = {"weight_decay": 0.01, "warm_up": 0.1, "decay_to": 0.0, "betas": (0.9, 0.999)}


@pytest.mark.parametrize(
    "more",
    [{}, {"weight_decay": 0.0}, {"weight_decay": 0.5}, {"warm_up": 0.3}, {"decay_to": 0.4}, {"betas": (0.8, 0.9)}],
)
def test_updates_are_those_of_a_plain_loop(more, train) -> None:
    start, told = start_of("bert", torch.float64), USUAL | more
    series = train(start=start, steps=20, checkpoints=[], dropout=False, **more)
    rows = draw(as_phases([(0, TASK.train)], 20), 20, RATE["batch_size"], 0)
    module = plain_loop(start, 20, RATE["lr"], told, rows)
    expected, found = dict(module.named_parameters()), dict(series[20].module.named_parameters())
    before = dict(start.module.named_parameters())
    for name, value in expected.items():
        # Keys' biases have a gradient of 0 but for rounding, which AdamW makes large.
        if not name.endswith("key.bias"):
            moved = (value - before[name]).abs().max()
            assert (found[name] - value).abs().max() < 1e-3 * moved, name


class Killed(BaseException):
    """What a kill looks like inside: nothing catches it."""


def kill_at(monkeypatch, owner, name: str, call: int, after: bool) -> None:
    """Let the method `name` raise `Killed` in its call number `call`, before or after its work."""
    real, calls = getattr(owner, name), []

    def killed(*given, **named):
        calls.append(1)
        if len(calls) == call and not after:
            raise Killed
        result = real(*given, **named)
        if len(calls) == call:
            raise Killed
        return result

    monkeypatch.setattr(owner, name, killed)


SHORT = {"steps": 4, "checkpoints": [0, 2]}
KILLS = [
    (Trainer, "update", 1, False),
    (Trainer, "update", 3, True),
    (Trainer, "update", 4, True),
    (TrainingFolder, "begin", 1, True),
    (TrainingFolder, "put", 1, True),
    (TrainingFolder, "put", 2, False),
    (TrainingFolder, "note", 2, False),
    (TrainingFolder, "note", 2, True),
    (TrainingFolder, "keep_state", 2, False),
    (TrainingFolder, "keep_state", 2, True),
    (TrainingFolder, "finish", 1, False),
    (Plan, "measures", 2, True),
]


@pytest.fixture(scope="module")
def whole(start, tmp_path_factory):
    """Trainings that were never killed, by their options."""

    @cache
    def made(**options):
        return hc.finetune(start, TASK, tmp_path_factory.mktemp("whole") / "out", **RATE, **SHORT, **options)

    return made


@pytest.mark.parametrize(
    ("kill", "options"),
    [
        *((kill, {}) for kill in KILLS),
        ((Trainer, "update", 4, False), {"save_every": 1}),
        (KILLS[9], {"lora": 2}),
        (KILLS[5], {"lora": 2}),
    ],
    ids=lambda item: "-".join(map(str, item if isinstance(item, dict) else item[1:])) or "full",
)
def test_a_killed_training_goes_on_to_the_same_bits(kill, options, whole, train, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        kill_at(patch, *kill)
        with pytest.raises(Killed):
            train(**SHORT, **options)
    series = train(**SHORT, **options)
    expected = whole(**({"lora": 2} if "lora" in options else {}))
    assert series.steps == expected.steps == (0, 2, 4)
    assert series.card["checkpoints"] == expected.card["checkpoints"]  # the hashes of all files
    assert same(final(series), final(expected))
    pd.testing.assert_frame_equal(series.metrics, expected.metrics, check_exact=True)


def test_a_resumed_training_does_not_repeat_what_was_saved(train, monkeypatch) -> None:
    done = []
    real = Trainer.update
    monkeypatch.setattr(Trainer, "update", lambda self: (done.append(self.done), real(self)))
    with monkeypatch.context() as patch:
        kill_at(patch, TrainingFolder, "keep_state", 4, True)
        with pytest.raises(Killed):
            train()
    assert done == [0, 1, 2, 3]
    train()
    assert done == [0, 1, 2, 3, 4]
    assert train().card["finished"]
    assert done == [0, 1, 2, 3, 4]


def test_a_training_in_parts_is_the_whole_one(whole, train, monkeypatch) -> None:
    done = []
    real = Trainer.update
    monkeypatch.setattr(Trainer, "update", lambda self: (done.append(self.done), real(self)))
    calls = [(2, (0, 2), 2), (3, (0, 2), 3), (1, (0, 2), 3), (None, (0, 2, 4), 4), (2, (0, 2, 4), 4)]
    for until, steps, updates in calls:
        series = train(**SHORT, until=until)
        assert series.steps == steps
        assert series.card["finished"] is (4 in steps)
        assert done == list(range(updates))
    assert series.card["checkpoints"] == whole().card["checkpoints"]
    pd.testing.assert_frame_equal(series.metrics, whole().metrics, check_exact=True)


SCRIPT = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import training_start as t
import hc_interp as hc
from hc_interp.training.trainer import Trainer
real = Trainer.update
def update(self):
    if self.done == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    real(self)
Trainer.update = update
hc.finetune(t.start_of("bert"), t.TASK, {out!r}, steps=5, batch_size=6, lr=3e-3, save_every=1)
"""


def test_a_process_that_is_killed_leaves_a_training_that_goes_on(finished, train, tmp_path) -> None:
    script = SCRIPT.format(tests=str(TESTS), out=str(tmp_path / "out"))
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    assert not hc.load_series(tmp_path / "out").card["finished"]
    assert same(final(train(save_every=1)), final(finished))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"lr": 1e-3}, "lr was 0.003 and is 0.001"),
        ({"steps": 6}, "steps was 5 and is 6"),
        ({"freeze": ["L1H1"]}, "freeze was"),
        ({"interventions": [hc.Ablate("L0H1", with_=0)]}, "interventions was"),
        ({"phases": [(0, texts(20, 9))]}, "phases was"),
        ({"start": start_of("bert", seed=5)}, "start was"),
        ({"max_per_case": 3}, "max_per_case was 200 and is 3"),
    ],
)
def test_other_arguments_on_the_same_folder_are_refused(change, named, train) -> None:
    train()
    with pytest.raises(TrainingError, match=named):
        train(**change)


def test_a_folder_with_other_files_is_refused_and_kept(train, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match="has files"):
        train()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_checkpoints_are_measured_as_they_are_loaded(finished) -> None:
    assert finished.steps == (0, 1, 2, 4, 5)
    metrics = finished.metrics.set_index("step")
    assert list(metrics.system.unique()) == ["full"]
    for step in (0, 5):
        found = hc.evaluate(finished[step], TASK)
        for split in ("validation", "easy", "hard"):
            assert metrics.loc[step, split] == found.accuracy(split)[0]
        assert metrics.loc[step, "separation_heuristic"] == found.scores().separation[0]
    assert metrics.loss.isna().tolist() == [True, False, False, False, False]
    assert list(finished.metrics) == [
        "step", "loss", "system", "validation", "easy", "hard", "separation_heuristic", "pull_heuristic",
    ]  # fmt: skip


def test_interventions_are_measured_beside_the_model_without_them(start, train) -> None:
    given = [hc.Ablate(["L0H0", "L0H1", "L1MLP"], with_=hc.mean_activations(start, TASK.train))]
    series = train(interventions=given, checkpoints=[0], steps=2)
    assert series.steps == (0, 2)
    assert list(series.metrics.system) == ["full", "intervened"] * 2
    at_start = series.metrics[series.metrics.step == 0].set_index("system")
    found = [hc.evaluate(start, TASK, interventions=item) for item in ([], given)]
    for system, item in zip(("full", "intervened"), found, strict=True):
        assert at_start.loc[system, "hard"] == item.accuracy("hard")[0]


def test_the_loss_sums_the_probabilities_of_a_group(finished, start, train) -> None:
    """The loss of the first update, without dropout, is that of the batch that the seed draws."""
    series = train(checkpoints=[1], dropout=False)
    batch = start.tokenize(TASK.train)
    gold = group_mask(((0,), (1, 2)), 3)[list(TASK.train.label)]
    by_row = group_cross_entropy(start.logits(batch), gold)
    rows = draw(as_phases([(0, TASK.train)], 5), 5, 6, 0)[0]
    assert series.metrics.loss[0] == pytest.approx(float(by_row[rows].mean()), rel=1e-5)


def test_training_lowers_the_loss(train) -> None:
    loss = train(steps=60, checkpoints=[1, 50], batch_size=20, dropout=False).metrics.loss
    assert loss.iloc[-1] < 0.3 * loss.iloc[0]


def test_a_loss_that_is_not_finite_stops_the_training(start, train, tmp_path) -> None:
    with pytest.raises(TrainingError, match="The loss is nan at step 0"):
        train(interventions=[hc.Edit(hc.Site(1, "z"), lambda value: value * float("nan"))])
    assert not (tmp_path / "out").exists()


def test_the_card_says_what_was_done(finished, start) -> None:
    card = finished.card
    assert card["start"]["fingerprint"] == start.fingerprint
    assert card["recipe"]["phases"] == [
        {"first_step": 0, "parts": [{"data": TASK.train.fingerprint(), "examples": 20, "share": 1.0}]}
    ]
    assert card["recipe"]["versions"]["torch"] == torch.__version__
    assert card["finished"]
    assert not (finished.folder / STATE).exists()


def test_held_out_cases_are_in_the_card(train) -> None:
    assert train(held_out="hard", steps=1).card["held_out"] == ["hard"]


def test_bfloat16_keeps_the_weights_in_float32(finished, train) -> None:
    series = train(dtype="bfloat16")
    assert series[5].dtype == torch.float32
    assert not same(final(series), final(finished))
    one, other = (torch.cat([v.flatten() for v in final(s).values()]) for s in (series, finished))
    assert (one - other).abs().max() < 0.05


def test_a_half_precision_start_is_trained_in_float32(train) -> None:
    series = train(start=start_of("bert", torch.bfloat16), steps=1)
    assert series.card["dtype"] == "float32"
    assert series[1].dtype == torch.float32


def test_progress_shows_what_was_measured(train, monkeypatch, capsys) -> None:
    monkeypatch.setattr(progress, "PAUSE", 0.0)
    train()
    shown = capsys.readouterr().err
    assert "finished checkpoint 4 (loss" in shown
    assert "separation_heuristic" in shown


def test_another_call_is_refused_while_one_is_running(train, monkeypatch) -> None:
    def begin_again(*given, real=module_of_finetune._train):
        with pytest.raises(HCError, match="is in use"):
            train()
        monkeypatch.setattr(module_of_finetune, "_train", real)
        return real(*given)

    monkeypatch.setattr(module_of_finetune, "_train", begin_again)
    assert train().card["finished"]
