"""About how long a command takes: every counted setting counts, and `--explain` says it."""

import json

import pytest

from hc_interp.cli.durations import PASSES, SECONDS_PER_PASS, ModelSize, TaskSize, duration, model_size
from hc_interp.cli.shell import COMMANDS

GROWS = {
    "run": ("seeds", "search_steps", "exchanges", "mean_examples", "eval_per_case", "select_pairs", "test_pairs",
            "permutations", "probe_examples", "comparison_sets", "premise_examples"),
    "demo": (),
    "search": ("seeds", "steps", "exchanges", "mean_examples"),
    "subnetworks": ("chains", "rows", "warm_up", "sweeps", "mean_examples"),
    "extremes": ("rounds", "permutations", "max_per_case", "fresh", "rows", "mean_examples"),
    "evaluate": ("max_per_case", "mean_examples"),
    "generalizing": ("max_pairs",),
    "patch": ("pairs",),
    "probe": ("examples", "random"),
    "premises": ("comparison_sets", "premise_examples", "mean_examples"),
    "over-training": ("max_per_case",),
    "finetune": ("steps", "batch_size", "max_per_case", "pull_pairs"),
    "reads-from": ("pairs", "permutations", "mean_examples", "comparison_sets", "premise_examples"),
}  # fmt: skip


def defaults(command: str) -> dict:
    return {setting.name: setting.default for setting in COMMANDS[command]}


@pytest.mark.parametrize("command", PASSES)
def test_more_of_a_setting_takes_longer(command) -> None:
    needed = {"evaluate": {"max_per_case": 100}, "finetune": {"steps": 100}}
    given = defaults(command) | needed.get(command, {})
    for name in GROWS[command]:
        assert PASSES[command]({**given, name: 2 * given[name] + 1}) > PASSES[command](given)


def test_a_grid_and_several_subnetworks_take_longer() -> None:
    search, evaluate = defaults("search"), defaults("evaluate")
    assert PASSES["search"]({**search, "sparsity": [0.3, 0.5]}) > PASSES["search"](search)
    run = defaults("run")
    assert PASSES["run"](run) > PASSES["run"]({**run, "beside": 0}) == PASSES["run"]({**run, "sparsity": 0.7})
    sampled = {**run, "core_from": "sample"}
    assert PASSES["run"]({**sampled, "sweeps": 400}) > PASSES["run"](sampled) > PASSES["run"](run)
    assert PASSES["evaluate"]({**evaluate, "subnetworks": ["a", "b"]}) > PASSES["evaluate"](evaluate)


@pytest.mark.parametrize(
    ("analysis", "names"),
    {
        "masks": ("seeds", "search_steps", "mean_examples"), "core": ("seeds", "search_steps"),
        "subnetworks": ("seeds", "search_steps", "max_per_case"), "generalizing": ("pairs",), "paths": ("pairs",),
        "premises": ("max_per_case", "mean_examples"), "reading": ("pairs", "mean_examples"),
        "probes": ("max_per_case",), "attention": ("max_per_case",),
    }.items(),
)  # fmt: skip
def test_more_of_a_setting_of_an_analysis_takes_longer_at_every_checkpoint(analysis, names) -> None:
    given = {**defaults("over-training"), "analysis": analysis}
    for name in names:
        assert PASSES["over-training"]({**given, name: 2 * given[name] + 1}) > PASSES["over-training"](given)
    two, one = ({**given, "steps": steps} for steps in ("0,450", "450"))
    assert PASSES["over-training"](two) == 2 * PASSES["over-training"](one)
    if analysis == "subnetworks":
        fewer = {**given, "sparsities": "0.5"}
        assert PASSES["over-training"](fewer) < PASSES["over-training"](given)


def test_fewer_paths_and_estimates_take_less() -> None:
    given = defaults("patch")
    fewer = [{"senders": "L0H1,L2H3"}, {"senders": "mlps"}, {"receivers": "core.json"}, {"method": "auto"},
             {"method": "attribution"}]  # fmt: skip
    assert all(PASSES["patch"]({**given, **change}) < PASSES["patch"](given) for change in fewer)
    assert PASSES["patch"]({**given, "through": "each"}) > PASSES["patch"](given)
    for roles in ("roles", "cls,last"):
        assert PASSES["patch"]({**given, "positions": roles}) > PASSES["patch"](given)


@pytest.mark.parametrize("command", ["run", "evaluate", "premises", "reads-from", "finetune", "extremes"])
def test_a_small_task_takes_less(command) -> None:
    small = {"task_size": TaskSize(cases=2, case_rows=8, validation=20, kinds=1)}
    given = defaults(command) | ({"steps": 100} if command == "finetune" else {})
    assert PASSES[command]({**given, **small}) < PASSES[command](given)
    assert duration(command, {**given, "model": "a/b"}, small["task_size"]) != duration(
        command, {**given, "model": "a/b"}
    )


@pytest.mark.parametrize("command", ["run", "generalizing", "patch", "extremes"])
def test_fewer_components_take_less(command) -> None:
    given, few = defaults(command), {"model_size": ModelSize(2, 2, 8)}
    assert PASSES[command]({**given, **few}) < PASSES[command](given)


def test_the_estimate_is_of_the_model_that_was_given(tmp_path) -> None:
    """BERT-base takes 8 times as long by its weights; a model whose size is not known is not passed off as another."""
    (tmp_path / "config.json").write_text('{"n_layer": 12, "n_head": 12, "n_embd": 768}')
    assert model_size(str(tmp_path)) == ModelSize(12, 12, 768)
    assert ModelSize(12, 12, 768).share == pytest.approx(8)
    assert ModelSize(6, 12, 384).share == 1
    given = {**defaults("search"), "model": str(tmp_path)}
    assert f"a pass through {tmp_path} (12 layers of width 768) takes 8 times" in duration("search", given)
    minutes = 8 * PASSES["search"](given) * SECONDS_PER_PASS / 60
    assert duration("search", given).startswith(f"About {minutes:.0f} min")
    assert "The size of a/b is not known" in duration("search", {**given, "model": "a/b"})
    (tmp_path / "config.json").write_text('{"n_layer": 12}')
    assert model_size(str(tmp_path)) is None


def test_the_demo_takes_what_was_measured() -> None:
    """286 s of the cores' time, on two of them."""
    assert PASSES["demo"](defaults("demo")) * SECONDS_PER_PASS == pytest.approx(285, rel=0.1)
    assert duration("demo", defaults("demo")).startswith("About 5 min of one core's time")


@pytest.mark.parametrize("command", COMMANDS)
def test_explain_says_it(command, hc_interp_call, tmp_path) -> None:
    values = {str: "x", int: "1", float: "0.5"}
    needed = [setting for setting in COMMANDS[command] if setting.required]
    arguments = []
    for setting in needed:
        positional = setting.name in ("searches", "results", "parts", "files", "folders")
        value = "overlap-grammar" if setting.name == "task" else values.get(setting.kind, str(tmp_path / "x.json"))
        arguments += [value] if positional else [f"--{setting.key}", value]
    done = hc_interp_call(command, *arguments, "--explain", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)["duration"]
    assert ("one core's time" in told) == (command in PASSES)
