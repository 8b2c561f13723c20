"""Advice for Python, said in options of the command that was called."""

import re

import pytest

from hc_interp.cli.advice import ADVICE, on_the_command_line
from hc_interp.cli.shell import COMMANDS


def test_every_advice_names_options_that_some_command_has() -> None:
    known = {setting.name for settings in COMMANDS.values() for setting in settings}
    for _, setting, option in ADVICE:
        assert setting is None or setting in known
        assert all(name.replace("-", "_") in known for name in re.findall(r"--([a-z-]+)", option))


def test_an_option_is_named_once_and_only_where_the_command_has_it() -> None:
    message = "Pass hc.load(..., labels=[...]). Or data_dir='hub'."
    found = on_the_command_line(message, ["labels"])
    assert found.removeprefix(f"{message} On the command line: ").startswith(
        "--labels entailment,neutral,contradiction"
    )
    assert "--data-dir" not in found
    assert on_the_command_line(message, []) == message
    assert on_the_command_line("Use --labels a,b (labels=).", ["labels"]) == "Use --labels a,b (labels=)."


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["search", "--task", "mnli-hans"], "--data-dir FOLDER, or --data-dir hub"),
        (["patch", "--task", "overlap-grammar", "--case", "none"], "--case CASE; see hc-interp tasks"),
        (["evaluate", "--task", "overlap-grammar", "--cases", "none"], "--cases CASE,CASE; see hc-interp tasks"),
        (["search", "--task", "overlap-grammar", "--device", "nowhere"], "--device cpu"),
        (["generalizing", "--task", "overlap-grammar", "--core", "L0H0", "--kinds", "own"], "--kinds KIND"),
    ],
)
def test_an_error_says_it_in_options(arguments, advice, hc_interp_call, small_task, tiny_folder, tmp_path) -> None:
    done = hc_interp_call(*arguments, "--model", tiny_folder, "--out", str(tmp_path / "out.json"))
    assert done.code == 2
    assert advice in done.err.partition("On the command line: ")[2]


def test_rows_that_do_not_fit_are_dropped_where_that_is_asked_for(
    hc_interp_call, small_task, tiny_folder, tmp_path, monkeypatch
) -> None:
    import hc_interp as hc

    small = hc.load_task("overlap-grammar")
    long = hc.Examples(
        ("a " * 90, *small.train.first[:40]), ("b", *small.train.second[:40]), classes=small.train.classes
    )
    given = hc.Task("long", train=long)
    monkeypatch.setattr(hc, "load_task", lambda name, **options: given)
    call = ["search", "--task", "long", "--model", tiny_folder, "--out", str(tmp_path / "out.json"), "--seeds", "1",
            "--steps", "2", "--exchanges", "0"]  # fmt: skip
    refused = hc_interp_call(*call)
    assert refused.code == 2
    assert "--too-long drop" in refused.err
    assert hc_interp_call(*call, "--too-long", "drop").code == 0
    assert (tmp_path / "out.json").is_file()


def test_one_number_stands_for_a_list_of_one(hc_interp_call, small_task, tiny_folder, tmp_path) -> None:
    (tmp_path / "settings.toml").write_text("[search]\nsparsity = 0.25\nseeds = 1\nsteps = 2\nexchanges = 0\n")
    done = hc_interp_call(
        "search", "--config", str(tmp_path / "settings.toml"), "--model", tiny_folder, "--task", "overlap-grammar",
        "--out", str(tmp_path / "out.json"),
    )  # fmt: skip
    assert done.code == 0, done.err
    import hc_interp as hc

    assert hc.MaskSearch.load(tmp_path / "out.json").sparsities == (0.25,)
