"""The settings of a run: declared once, checked when made, read alike from Python, the command line and TOML."""

import inspect

import numpy as np
import pytest
from pydantic import ValidationError

import hc_interp as hc
from hc_interp.cli.shell import COMMANDS
from hc_interp.experiment.settings import DEMO, RunSettings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": 0}, r"seeds=0 was given\. Expected a whole number from 1\. Number of subnetworks"),
        ({"seeds": True}, "seeds=True was given"),
        ({"seeds": 2.0}, r"seeds=2\.0 was given"),
        ({"sparsity": 50}, r"sparsity=50 was given\. Expected a number from 0 up to but without 1.*0\.5, not 50"),
        ({"sparsity": float("nan")}, "sparsity=nan was given"),
        ({"margin": 0.0}, "Expected a number above 0 up to but without 1"),
        ({"exchanges": -1}, "Expected a whole number from 0"),
        ({"case": None}, "case=None was given. Expected text"),
        ({"demo": 1}, "demo=1 was given. Expected true or false"),
        ({"test_pair": 3}, "test_pair=3 was given.*did you mean test_pairs"),
        ({"kinds": []}, r"kinds=\[\] was given\. Expected text"),
        ({"kinds": ["order", 3]}, r"kinds=\['order', 3\] was given"),
        ({3: 4}, "3=4 was given, which is no setting"),
    ],
)
def test_what_is_no_setting_says_what_is(given, message, tmp_path) -> None:
    """Before anything is loaded or written, whether settings come as an object or as a dict."""
    with pytest.raises(hc.HCError, match=message):
        hc.run("no model", "no task", tmp_path / "run", settings=given)
    with pytest.raises(hc.HCError, match=message):
        RunSettings.model_validate(given)
    assert not (tmp_path / "run").exists()


def test_settings_are_settings_or_a_dict(tmp_path) -> None:
    with pytest.raises(hc.HCError, match=r"settings=4 was given.*hc\.RunSettings"):
        hc.run("no model", "no task", tmp_path / "run", settings=4)  # pyright: ignore[reportArgumentType]


def test_a_changed_copy_is_checked_and_nothing_else_changes() -> None:
    assert DEMO.model_copy(update={"seeds": 7}) == RunSettings(**{**DEMO.model_dump(), "seeds": 7})
    with pytest.raises(hc.HCError, match="seeds=0"):
        DEMO.model_copy(update={"seeds": 0})
    with pytest.raises(ValidationError, match="frozen"):
        DEMO.seeds = 3  # pyright: ignore[reportAttributeAccessIssue]
    assert RunSettings(seeds=np.int64(3), sparsity=np.float32(0.5)).model_dump() == RunSettings(seeds=3).model_dump()


def test_kinds_are_a_text_or_a_list_of_texts() -> None:
    assert RunSettings(**{"kinds": ["order", "own"]}) == RunSettings(**{"kinds": ("order", "own")})
    assert RunSettings(**{"kinds": ["order", "own"]}).kinds == "order,own"


def test_help_tells_of_settings_and_results() -> None:
    assert "hc.RunSettings" in (hc.run.__doc__ or "")
    assert "hc.RunResults" in (hc.run.__doc__ or "")
    assert hc.RunSettings is RunSettings
    assert all(field.description for field in RunSettings.model_fields.values())


def test_run_takes_every_setting_with_its_default_and_description() -> None:
    taken = {setting.name: setting for setting in COMMANDS["run"]}
    for name, field in RunSettings.model_fields.items():
        if name != "demo":
            assert (taken[name].default, taken[name].help) == (field.default, field.description)


# What a command calls by another name than its function does.
RENAMED = {"permutations": "n_permutations"}
FUNCTIONS = {
    "search": hc.search_masks,
    "evaluate": hc.evaluate,
    "core": hc.heuristic_core,
    "generalizing": hc.generalizing_heads,
    "patch": hc.path_effects,
    "probe": hc.fit_probe,
    "reads-from": hc.reads_from,
    "figures": hc.figures.draw,
    "report": hc.report,
}


@pytest.mark.parametrize("command", FUNCTIONS)
def test_commands_and_functions_have_the_same_defaults(command) -> None:
    parameters = inspect.signature(FUNCTIONS[command]).parameters
    default_of = {name: item.default for name, item in parameters.items() if item.default is not item.empty}
    shared = [s for s in COMMANDS[command] if not s.required and RENAMED.get(s.name, s.name) in default_of]
    assert shared
    for setting in shared:
        default = default_of[RENAMED.get(setting.name, setting.name)]
        given = setting.default[0] if setting.many and setting.default else setting.default
        if isinstance(default, tuple) and isinstance(given, str):  # names are one text on the command line
            given = tuple(given) if set(given) <= set("qkv") else tuple(given.split(","))
        assert (tuple(given) if isinstance(default, tuple) else given) == default, setting.name


def test_the_search_of_a_run_is_the_search() -> None:
    parameters, default = inspect.signature(hc.search_masks).parameters, RunSettings()
    assert (parameters["sparsity"].default, parameters["seeds"].default) == (default.sparsity, default.seeds)
    assert (parameters["steps"].default, parameters["exchanges"].default) == (default.search_steps, default.exchanges)
