"""Is anything lost when a command is killed? Kill `run`, `search --resume` and `patch --resume`, go on, and compare.

    python experiments/killed.py [--kills 20] [--writes] [--seed 0] [--only run search patch]

Each command runs on a tiny random BERT, in a process of its own that is forked from this one, so that the libraries are
loaded. It runs once to its end; then `--kills` times it gets SIGKILL at a random moment, and once each SIGTERM and
SIGINT; with `--writes` it is also killed in each of its writes, after the file was written and before it got its name.
After each it goes on with `--resume`, and the folder must then hold the same files as that of the first run, each JSON
and CSV the same to the byte but for the seconds in a run's manifest (and so its checksum) and summary. SIGTERM and
SIGINT must end it with 143 and 130 and with the line that goes on. Exits with 1 if anything differs.
"""

import argparse
import json
import os
import random
import re
import shlex
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

import hc_interp as hc
from hc_interp import cli
from hc_interp.experiment import run as experiment
from hc_interp.writer import Writer

LABELS = ("entailment", "neutral", "contradiction")
DATA = ["--task", "overlap-grammar"]
SIZES = {
    "run": "--seeds 2 --search-steps 5 --exchanges 1 --mean-examples 40 --train-examples 120 --eval-per-case 6 "
    "--select-pairs 24 --test-pairs 20 --permutations 19 --probe-examples 150",
    "search": "--seeds 4 --steps 15 --exchanges 1 --train-examples 300 --mean-examples 40",
    "patch": "--senders heads,mlps,embed --pairs 24 --through each",
}
COMMANDS = tuple(SIZES)
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--writes", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=COMMANDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    problems = []
    with TemporaryDirectory() as folder:
        model = prepared(Path(folder) / "model")
        for command in options.only:
            trials = Trials(command, model, Path(folder) / command)
            trials.kill_at_random(options.kills, random.Random(options.seed))
            for sent in CODES:
                trials.stop(sent)
            if options.writes:
                trials.kill_in_each_write()
            print(trials.report(), flush=True)
            problems += trials.problems
    print("\n".join(problems))
    sys.exit(bool(problems))


def prepared(folder: Path) -> Path:
    """A tiny model's folder; all that commands read or import is loaded here once, so that their time is their work's.

    They get the same few examples of the grammar each time.
    """
    task = hc.load_task("overlap-grammar", max_per_case=60)
    save_model(folder, task)
    model = hc.load(folder)
    model.logits(model.tokenize(["a", "b"]))
    for name in ("plotly.io", "kaleido", "sklearn.linear_model", "scipy.stats"):
        import_module(name)
    hc.load_task = experiment.load_task = lambda *args, **options: task  # type: ignore[attr-defined]
    return folder


def save_model(folder: Path, task: hc.Task) -> None:
    """A random BERT of three layers and three heads that reads the grammar's words, as save_pretrained writes it."""
    parts = [task.train, task.validation, *task.cases.values(), task.overlap]
    texts = [text.lower() for part in parts for text in (*part.first, *part.second)]
    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text)})
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.normalizer, core.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )  # fmt: skip
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=32, vocab_size=len(vocabulary),
        max_position_embeddings=64, initializer_range=0.4, id2label=dict(enumerate(LABELS)),
        label2id={name: i for i, name in enumerate(LABELS)},
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=core, **names).save_pretrained(folder)


class Trials:
    """One command: its folder when nothing stops it, and what is in its folder after it was stopped and went on.

    Without `twice` it is run to its end once. A result that differs each time is then a problem of the first trial.
    """

    def __init__(
        self,
        command: str,
        model: Path,
        folder: Path,
        *,
        prepare: Callable[[], None] = lambda: None,
        twice: bool = True,
    ) -> None:
        self.command, self.folder, self.prepare = command, folder, prepare
        self.words = [command, "--model", str(model), *DATA, *SIZES[command].split()]
        self.counts, self.problems = Counter(), []
        folder.mkdir(parents=True)
        for name in ("whole", "again")[: 1 + twice]:
            begun = time.perf_counter()
            if code := self._run(folder / name):
                raise SystemExit(f"{command} ended with {code}: {self._said()}")
            self.seconds = time.perf_counter() - begun
        self.whole = contents(folder / "whole")
        if twice and self.whole != contents(folder / "again"):
            raise SystemExit(f"{command} gives another result each time, so nothing can be compared.")

    def kill_at_random(self, kills: int, rng: random.Random) -> None:
        """SIGKILL at moments that are spread evenly over the time that the whole command took."""
        while self.counts["SIGKILL at a random moment"] < kills:
            out, moment = self._fresh(), rng.uniform(0, self.seconds)
            if self._run(out, after=(moment, signal.SIGKILL)) is None:
                self._go_on(out, f"SIGKILL at {moment:.2f} s")
                self.counts["SIGKILL at a random moment"] += 1

    def kill_in_each_write(self, numbers: Iterator[int] | None = None) -> None:
        """SIGKILL between a file's last byte and its name, at the first write, the second, until there are no more."""
        for number in numbers if numbers is not None else iter(range(10**6)):
            out = self._fresh()
            if self._run(out, prepare=lambda number=number: send_in_write(number, signal.SIGKILL)) is not None:
                return
            self._go_on(out, f"SIGKILL in write {number}")
            self.counts["SIGKILL in a write"] += 1

    def stop(self, sent: signal.Signals, number: int | None = None) -> None:
        """A signal that can be caught: how the command ends, whether it says how to go on, and if that is right.

        The signal comes in the write of that number, or (None) after half of the time that the whole command took.
        """
        out = self._fresh()
        if number is None:
            code = self._run(out, after=(self.seconds / 2, sent))
        else:
            code = self._run(out, prepare=lambda: send_in_write(number, sent))
        said = self._said()
        if code != CODES[sent]:
            self.problems.append(f"{self.command}: {sent.name} ended with {code}: {said}")
            return
        line = re.search(r"To (?:go on|start again):\n  hc-interp (.*)", said)
        if line is None:
            self.problems.append(f"{self.command}: {sent.name} did not say how to go on: {said}")
            return
        self._go_on(out, sent.name, shlex.split(line[1]))
        self.counts[sent.name] += 1

    def report(self) -> str:
        counts = ", ".join(f"{number} {what}" for what, number in self.counts.items())
        files = Counter(Path(name).suffix for name in self.whole)
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(files.items()))
        return f"{self.command} ({self.seconds:.1f} s; {kinds}): {counts}; {len(self.problems)} problems"

    def _fresh(self) -> Path:
        number = sum(1 for _ in self.folder.iterdir())
        return self.folder / f"trial-{number}"

    def _go_on(self, out: Path, how: str, words: list[str] | None = None) -> None:
        left = [path for path in out.rglob(".*") if Writer.of(path.name) is not None]
        self.counts["after which a half-written file or a lock lay there"] += bool(left)
        if code := self._run(out, words=words, resume=True):
            self.problems.append(f"{self.command}, {how}: going on ended with {code}: {self._said()}")
            return
        found = contents(out)
        if more := found.keys() - self.whole.keys():
            self.problems.append(f"{self.command}, {how}: {sorted(more)} were left")
        if lost := self.whole.keys() - found.keys():
            self.problems.append(f"{self.command}, {how}: {sorted(lost)} are missing")
        if other := [name for name in self.whole.keys() & found.keys() if self.whole[name] != found[name]]:
            self.problems.append(f"{self.command}, {how}: {sorted(other)} differ")

    def _run(
        self,
        out: Path,
        *,
        words: list[str] | None = None,
        resume: bool = False,
        after: tuple[float, signal.Signals] | None = None,
        prepare: Callable[[], None] = lambda: None,
    ) -> int | None:
        """The command's exit code, None where it was killed."""
        go_on = ["--resume"] if resume and self.command == "run" else []
        typed = words or [*self.words, *self._destination(out), *go_on]
        process = os.fork()
        if not process:
            self._child(typed, prepare)
        if after is not None:
            time.sleep(after[0])
            os.kill(process, after[1])  # it has not been waited for: its number is still its own
        status = os.waitpid(process, 0)[1]
        return None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def _destination(self, out: Path) -> list[str]:
        if self.command == "run":
            return ["--out", str(out)]
        return ["--out", str(out / f"{self.command}.json"), "--resume", str(out / "pieces")]

    def _child(self, words: list[str], prepare: Callable[[], None]) -> None:
        """Be the command, with its words in a file, and end."""
        code = 1
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            file = os.open(self.folder.with_suffix(".said"), os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            os.dup2(file, 1)
            os.dup2(file, 2)
            sys.argv = ["hc-interp", *words]
            self.prepare()
            prepare()
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            sys.stdout.flush()
            os._exit(code)

    def _said(self) -> str:
        return self.folder.with_suffix(".said").read_text()[-2000:]


def send_in_write(number: int, sent: signal.Signals) -> None:
    """Signal this process in its write of that number: the temporary file is whole, its target is as it was."""
    replace, count = Path.replace, iter(range(number))

    def end(self: Path, target: Path) -> Path:
        if next(count, None) is None:
            Path.replace = replace  # type: ignore[method-assign]
            os.kill(os.getpid(), sent)
        return replace(self, target)

    Path.replace = end  # type: ignore[method-assign]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path: JSON and CSV with their bytes, others with none."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        content = path.read_bytes() if path.suffix in (".json", ".csv") else b""
        if path.name == "manifest.json":
            manifest = json.loads(content)
            del manifest["sha256"]
            manifest["seconds"] = sorted(manifest["seconds"])
            content = json.dumps(manifest).encode()
        if path.name == "summary.json":
            content = json.dumps({**json.loads(content), "seconds": None}).encode()
        found[str(path.relative_to(folder))] = content
    return found


if __name__ == "__main__":
    main()
