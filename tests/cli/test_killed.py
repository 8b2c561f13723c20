"""Commands that are killed lose nothing and leave nothing; `experiments/killed.py` in small."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
EXPERIMENTS = TESTS.parent / "experiments"
# In a process of its own: it forks, which a process with threads must not.
TRIALS = """
import random, signal, sys
from pathlib import Path
import killed
from small_task import part_of
from hc_interp.figures.images import NoBrowser

whole_task = killed.hc.load_task
killed.hc.load_task = lambda *given, **more: part_of(whole_task(*given, **more))

def without_browser():
    def refuse(figures):
        raise NoBrowser("not for this test")
    killed.import_module("hc_interp.reports.report").write_images = refuse

killed.torch.set_num_threads(1)
killed.SIZES["run"] = (
    "--seeds 1 --search-steps 2 --exchanges 0 --mean-examples 20 --train-examples 60 --eval-per-case 2 "
    "--select-pairs 16 --test-pairs 12 --permutations 19 --probe-examples 60 --comparison-sets 2 --premise-examples 4"
)
killed.SIZES["patch"] = "--senders heads,embed --pairs 8 --through each"
folder = Path(sys.argv[1])
model = killed.prepared(folder / "model")
run, patch = (
    killed.Trials(name, model, folder / name, prepare=without_browser, twice=False) for name in ("run", "patch")
)
run.kill_in_each_write(iter([0, 22]))  # its manifest's first, and one of the figures'
patch.kill_at_random(2, random.Random(1))
patch.stop(signal.SIGTERM, 0)  # in the write of its first block
patch.stop(signal.SIGINT, 1)
print(run.report(), patch.report(), *run.problems, *patch.problems, sep="\\n")
sys.exit(bool(run.problems or patch.problems))
"""


def test_a_command_that_was_killed_goes_on_to_the_same_files(tmp_path, monkeypatch) -> None:
    for folder in (EXPERIMENTS, TESTS):
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    done = subprocess.run([sys.executable, "-c", TRIALS, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 SIGKILL in a write" in done.stdout
    assert "2 SIGKILL at a random moment, 1 SIGTERM, 1 SIGINT" in done.stdout
