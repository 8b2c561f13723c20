"""What a model's or tokenizer's name stands for; a mistyped folder is told at once, without a look at the hub."""

from pathlib import Path

import huggingface_hub
import pytest
import transformers
from checkpoints import save
from shell import call

from hc_interp.errors import ModelError
from hc_interp.models.load import load
from hc_interp.models.names import folder_or_hub_id


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to stand in, with some models, and a hub that may not be asked."""
    for name in (
        "models/minilm-nli",
        "models/bert-mnli",
        "mymodel-mnli",
        "runs/seed1/checkpoint-500",
        "bert-base-cased",
    ):
        (tmp_path / name).mkdir(parents=True)
    save(tmp_path / "models" / "good")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    asked = []

    def ask(*args, **given):
        asked.append(args)
        raise OSError("the hub was asked")

    monkeypatch.setattr(transformers.PreTrainedConfig, "get_config_dict", ask)
    monkeypatch.setattr(transformers.utils.peft_utils, "find_adapter_config_file", ask)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", ask)
    return asked


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("models/minilm-nil", "Did you mean models/minilm-nli?"),
        ("./models/minilm_nli", "Did you mean ./models/minilm-nli?"),
        ("models/bert-mnlii/", "Did you mean models/bert-mnli?"),
        ("modles/bert-mnli", "Did you mean models/bert-mnli?"),
        ("mymodel-mnl", "Did you mean mymodel-mnli?"),
        ("runs/seed1/checkpoint-50", "Did you mean runs/seed1/checkpoint-500?"),
        ("runs/sed1/checkpoint-500", "Did you mean runs/seed1/checkpoint-500?"),
        ("~/models/minilm-nl", "models/minilm-nli?"),
        ("minilm-nli", "Did you mean zoo:minilm-nli?"),
        ("models/other", "is neither a folder"),
        ("/no/such/folder", "is neither a folder"),
        ("models/good/config.json", "It is a file: pass its folder, models/good."),
        (Path("models") / "bert-mnl", "Did you mean models/bert-mnli?"),
    ],
)
def test_a_mistyped_folder_is_told_with_close_names(given, hint, here) -> None:
    for look in (load, folder_or_hub_id, lambda name: load("models/good", tokenizer=name)):
        with pytest.raises(ModelError, match="is neither a folder") as caught:
            look(given)
        assert hint in str(caught.value)
    assert not here


@pytest.mark.parametrize(
    "given", ["gpt2", "bert-base-uncased", "google-bert/bert-base-uncased", "user/minilm-nli", "facebook/opt-125m"]
)
def test_what_looks_like_a_hub_id_is_looked_for_there(given, here) -> None:
    assert folder_or_hub_id(given) == (given, False)
    with pytest.raises(ModelError, match=r"could not be loaded \(OSError: the hub was asked\)"):
        load(given)
    assert here


def test_home_and_folders(here) -> None:
    assert folder_or_hub_id("~/models/good") == (str(Path.cwd() / "models" / "good"), True)
    assert folder_or_hub_id(Path("models/good")) == ("models/good", True)


def test_the_command_line_says_so(here, monkeypatch, capsys) -> None:
    for command in ("evaluate", "search"):
        done = call(
            monkeypatch, capsys, command, "--model", "models/bert-mnil", "--task", "overlap-grammar", "--out", "x.json"
        )  # fmt: skip
        assert done.code == 2
        assert "Did you mean models/bert-mnli?" in done.err
        assert "Traceback" not in done.err
