"""`--task my_task.toml`: every command takes it, `--explain` checks it, and a run knows the content of its files."""

import json
import re
from itertools import permutations

import pytest
import torch
from shell import call
from texts import word_tokenizer
from transformers import BertConfig, BertForSequenceClassification

import hc_interp as hc
from hc_interp.cli.shell import COMMANDS

PEOPLE, VERBS = ["king", "queen", "pilot", "nurse", "monk", "chef"], ["met", "saw"]
TOML = """
classes = ["entailment", "neutral", "contradiction"]
train = "cases.csv"
validation = "cases.csv"
overlap = "probes.csv"
cases = "cases.csv"
heuristic_label = "entailment"
columns = { units = ["verb"] }
heuristics.word_overlap = { right = ["kept"], wrong = ["swapped"] }

[[pairs]]
case = "swapped"
kind = "order"
clean = { file = "cases.csv", case = "swapped" }
corrupt = { file = "cases.csv", case = "kept" }
columns = { id = "pair" }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A task in files, and a random two-layer BERT that has its words."""
    path = tmp_path_factory.mktemp("own")
    rows = ["first,second,label,case,pair,verb"]
    for number, (verb, (a, b)) in enumerate((verb, two) for verb in VERBS for two in permutations(PEOPLE, 2)):
        text = f"the {a} {verb} the {b}"
        rows.append(f"{text},{text},entailment,kept,{number},{verb}")
        rows.append(f"{text},the {b} {verb} the {a},neutral,swapped,{number},{verb}")
    (path / "cases.csv").write_text("\n".join(rows))
    others = [(a, b, c) for a, b in permutations(PEOPLE, 2) for c in PEOPLE]
    probes = [f"the {a} met the {b},the {c} saw the {b},neutral" for a, b, c in others]
    (path / "probes.csv").write_text("\n".join(["first,second,label", *probes]))
    (path / "my_task.toml").write_text(TOML)
    tokenizer = word_tokenizer(["the", *PEOPLE, *VERBS])
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8, vocab_size=len(tokenizer),
        max_position_embeddings=32, initializer_range=0.5,
        id2label=dict(enumerate(hc.load_task(path / "my_task.toml").classes)),
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(path / "model")
    tokenizer.save_pretrained(path / "model")
    return path


@pytest.fixture
def own(folder, tmp_path, monkeypatch, capsys):
    """Call a command with this task and model."""

    def own(command, *arguments, task="my_task.toml", out="out.json"):
        named = ["--task", str(folder / task), "--model", str(folder / "model"), "--out", str(tmp_path / out)]
        return call(monkeypatch, capsys, command, *arguments, *named)

    return own


COMMANDS_OF_ONE_STEP = {
    "search": ["--seeds", "1", "--steps", "1", "--exchanges", "0"],
    "evaluate": ["--max-per-case", "4"],
    "generalizing": ["--core", "L0H0", "--max-pairs", "8"],
    "patch": ["--case", "swapped", "--pairs", "2", "--senders", "L0H0", "--receivers", "L1H1"],
    "probe": ["--site", "L1H0.v", "--examples", "40"],
    "reads-from": ["--case", "swapped", "--core", "L0H0", "--generalizing", "L1H1", "--premises", "none", "--pairs",
                   "6", "--permutations", "1"],
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS_OF_ONE_STEP)
@pytest.mark.filterwarnings("ignore")
def test_a_command_takes_it(command, own, tmp_path, folder) -> None:
    done = own(command, *COMMANDS_OF_ONE_STEP[command])
    assert done.code == 0, done.err
    result = hc.read(tmp_path / "out.json")
    if command == "evaluate":
        assert result.splits == ("validation", "kept", "swapped")
    if command == "patch":
        task, model = hc.load_task(folder / "my_task.toml"), hc.load(folder / "model")
        pairs = task.contrast_pairs("swapped", split="test").sample(2, 0)
        assert torch.equal(result.effects, hc.path_effects(model, pairs, "L0H0", "L1H1").effects)


def test_every_command_with_a_task_names_the_file_in_its_help(monkeypatch, capsys) -> None:
    takers = [name for name, settings in COMMANDS.items() if any(setting.name == "task" for setting in settings)]
    others = {"run", "premises", "extremes", "subnetworks", "finetune", "over-training"}
    assert set(takers) == {*others, *COMMANDS_OF_ONE_STEP}
    assert "my_task.toml" in " ".join(call(monkeypatch, capsys, "run", "--help").out.split())


REFUSED = [
    ("search", [], "my_tsk.toml", "is no file"),
    ("run", [], "my_task.toml", "no case 'lexical_overlap_ln_subject/object_swap'; it has kept, swapped"),
    ("run", ["--case", "kept"], "my_task.toml", "no contrast pairs for kept.*swapped"),
    ("run", ["--case", "swapped", "--kinds", "other"], "my_task.toml", "It has pairs of order"),
    ("patch", ["--case", "swaped"], "my_task.toml", "no case 'swaped'; did you mean swapped"),
    ("patch", ["--case", "swapped", "--kind", "overlap"], "my_task.toml", "has no 'overlap' pairs; it has 'order'"),
    ("reads-from", ["--case", "kept", "--core", "L0H0", "--generalizing", "L1H1"], "my_task.toml", "no contrast pairs"),
    ("evaluate", ["--cases", "kept,spawned"], "my_task.toml", "no case 'spawned'"),
    ("premises", ["--heuristic", "length", "--core", "L0H0", "--generalizing", "L1H1"], "my_task.toml",
     "--heuristic length was given, and my_task has word_overlap"),
    ("probe", ["--site", "L1H0.v"], "bare.toml", "has no overlap examples"),
    ("premises", ["--core", "L0H0", "--generalizing", "L1H1"], "bare.toml", "has no validation examples"),
    ("search", ["--data-dir", "x"], "my_task.toml", "names its own tables"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "arguments", "task", "message"), REFUSED)
def test_explain_says_what_the_command_would_refuse(command, arguments, task, message, own, folder) -> None:
    (folder / "bare.toml").write_text('train = { file = "cases.csv", columns = { label = "pair" } }')
    done = own(command, *arguments, "--explain", task=task)
    assert done.code == 2
    assert re.search(message, done.err), done.err


@pytest.mark.parametrize(
    ("task", "arguments", "message"),
    [
        ("mnli-hanz", [], "There is no task 'mnli-hanz'; did you mean 'mnli-hans'"),
        ("mnli-hans", [], "needs data, and data_dir= was not given.*--data-dir FOLDER"),
        (
            "overlap-grammar",
            ["--case", "lexical_overlap_ln_swap"],
            "has no case 'lexical_overlap_ln_swap'.*--case CASE",
        ),
        ("qqp-paws", ["--data-dir", "x"], "no contrast pairs"),
        ("ioi", ["--case", "ABAB"], "no case 'ABAB'. Expected another case: one of ABBA, BABA"),
    ],
)
def test_explain_checks_a_task_of_the_package(task, arguments, message, hc_interp_call) -> None:
    done = hc_interp_call("run", "--model", "zoo:minilm-nli", "--task", task, *arguments, "--out", "x", "--explain")
    assert done.code == 2
    assert re.search(message, done.err), done.err


def test_the_estimate_is_of_this_model_and_this_task(own, folder, hc_interp_call) -> None:
    given = ["run", "--case", "swapped", "--explain", "--json"]
    told = json.loads(own(*given).out)["duration"]
    assert "2 layers of width 8" in told
    assert "0.05 times that of zoo:minilm-nli" in told
    named = ["--model", "no/model", "--task", str(folder / "my_task.toml"), "--out", "x"]
    unknown = json.loads(hc_interp_call(*given, *named).out)["duration"]
    assert "The size of no/model is not known before it is loaded" in unknown


def test_a_run_goes_on_only_with_the_same_files(own, folder, tmp_path, monkeypatch) -> None:
    """Stopped once its folder exists; a changed table is then named."""
    from hc_interp.experiment import run as experiment

    def stop(*given, **named):
        raise hc.HCError("stopped here")

    monkeypatch.setattr(experiment, "mean_activations", stop)
    few = ["--case", "swapped", "--test-pairs", "4", "--select-pairs", "4"]
    assert "stopped here" in own("run", *few, out="run").err
    files = json.loads((tmp_path / "run" / "manifest.json").read_text())["arguments"]["files"]
    assert set(files) == {"my_task.toml", "cases.csv", "probes.csv"}
    assert "stopped here" in own("run", *few, "--resume", out="run").err
    text = (folder / "cases.csv").read_text()
    try:
        (folder / "cases.csv").write_text(text + "\n\n")  # the same rows
        refused = own("run", *few, "--resume", out="run")
    finally:
        (folder / "cases.csv").write_text(text)
    assert refused.code == 2
    assert "arguments.files.cases.csv was" in refused.err


def test_tasks_lists_what_is_in_it(folder, hc_interp_call) -> None:
    done = hc_interp_call("tasks", str(folder / "my_task.toml"))
    told = " ".join(done.out.split())
    assert "swapped 60 examples; word_overlap is wrong there; pairs: order" in told
    assert "kept 60 examples; word_overlap is right there; pairs: none" in told
    record = json.loads(hc_interp_call("tasks", str(folder / "my_task.toml"), "--json").out)
    assert record["tasks"][0]["cases"]["swapped"] == {
        "examples": 60, "heuristic": "word_overlap", "heuristic_is_right": False, "kinds": ["order"],
    }  # fmt: skip
    refused = hc_interp_call("tasks", "cases.csv")
    assert refused.code == 2
    assert "There is no task 'cases.csv'" in refused.err
