"""`hc.run`: the whole way from a checkpoint to a verdict, in one call that leaves a folder behind."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hc_interp.analysis.core import heuristic_core
from hc_interp.analysis.evaluate import evaluate
from hc_interp.analysis.generalizing import GeneralizingHeads, generalizing_heads
from hc_interp.analysis.reads_from import reads_from
from hc_interp.analysis.run_results import RunResults
from hc_interp.components import Head, is_upstream
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.load import load_task
from hc_interp.data.task import Task
from hc_interp.errors import HCError
from hc_interp.files import atomic, write_json
from hc_interp.interventions.donors import Donors
from hc_interp.interventions.means import MeanActivations, mean_activations
from hc_interp.interventions.paths import PatchPath
from hc_interp.models.hooked import HookedModel
from hc_interp.models.load import load
from hc_interp.models.site import Site
from hc_interp.probing.probe import Probe, fit_probe
from hc_interp.provenance import versions
from hc_interp.search.mask_search import search_masks

DEFAULT_CASE = "lexical_overlap_ln_subject/object_swap"
VALIDATION_EXAMPLES = 1000  # in-domain accuracy is one number: it can afford more than each of the cases


@dataclass(frozen=True)
class RunSettings:
    """How much of everything a run does. The defaults are for a real run; `DEMO` is for a first look."""

    seeds: int = 6
    sparsity: float = 0.5
    search_steps: int = 120
    mean_examples: int = 1000
    train_examples: int = 8000
    eval_per_case: int = 300
    select_pairs: int = 256
    test_pairs: int = 128
    permutations: int = 199
    probe_examples: int = 1500
    margin: float = 0.05
    case: str = DEFAULT_CASE
    seed: int = 0
    demo: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise HCError(
                f"sparsity={self.sparsity:g} was given. Expected the share of components to remove, from 0 up to but "
                "without 1; half of them is 0.5, not 50."
            )
        for name in ("seeds", "test_pairs", "permutations", "select_pairs", "train_examples"):
            if getattr(self, name) < 1:
                raise HCError(f"{name}={getattr(self, name)} was given. Expected 1 or more.")


DEMO = RunSettings(
    seeds=5,
    search_steps=60,
    mean_examples=300,
    train_examples=1500,
    eval_per_case=40,
    select_pairs=64,
    test_pairs=48,
    permutations=79,
    probe_examples=300,
    demo=True,
)


@dataclass
class Folder:
    """The run's folder: every file appears whole, and the manifest says how far the run came."""

    path: Path
    manifest: dict[str, Any]
    say: Callable[[str], None]
    started: float = field(default_factory=time.perf_counter)

    @classmethod
    def create(
        cls, out: str | Path, settings: RunSettings, arguments: dict[str, Any], overwrite: bool, say: Any
    ) -> "Folder":
        path = Path(out)
        _check_free(path, overwrite)
        if path.exists() and _is_run(path):
            shutil.rmtree(path)
        manifest = {
            "status": "running",
            "arguments": arguments,
            "settings": asdict(settings),
            "versions": versions(),
            "seconds": {},
        }
        folder = cls(path, manifest, say)
        folder.write_manifest()
        return folder

    def write_manifest(self) -> None:
        write_json(self.path / "manifest.json", self.manifest)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; a failure leaves its name in the manifest."""
        self.say(name)
        begun = time.perf_counter()
        try:
            yield
        except BaseException as error:
            self.manifest["status"] = f"stopped in '{name}' ({type(error).__name__})"
            self.write_manifest()
            raise
        self.manifest["seconds"][name] = round(time.perf_counter() - begun, 2)
        self.write_manifest()

    def keep(self, name: str, result: Any) -> None:
        """A result as JSON, whole, and as a table."""
        result.save(self.path / f"{name}.json")
        with atomic(self.path / f"{name}.csv") as temporary:
            result.to_frame().to_csv(temporary, index=False)

    def finish(self) -> None:
        self.manifest["status"] = "finished"
        self.manifest["seconds"]["all"] = round(time.perf_counter() - self.started, 2)
        self.write_manifest()


def _check_free(path: Path, overwrite: bool) -> None:
    taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
    if taken and not (overwrite and _is_run(path)):
        raise HCError(
            f"{path} already exists and is not empty. A run is not written over other files: choose a new folder, or, "
            "where it holds an earlier run, pass --overwrite (overwrite=True) to replace that run."
        )


def _is_run(folder: Path) -> bool:
    """Whether a folder holds what an earlier run wrote: nothing else is ever removed."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and {"status", "arguments", "settings", "versions"} <= set(manifest)


def run(
    model: HookedModel | Any,
    task: Task | str,
    out: str | Path,
    *,
    data_dir: str | Path | None = None,
    settings: RunSettings | None = None,
    labels: Any = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> RunResults:
    """Search masks, find the core and the generalizing heads, patch the paths between, probe them, give a verdict.

    `model` is a `HookedModel` or what `hc.load` takes, `task` a `Task` or what `hc.load_task` takes. The folder `out`
    gets `manifest.json`, a JSON and a CSV file for each result, `subnetworks/`, `figures/` and `report.html`. `say` is
    called with a line at each stage. Raises `HCError` for anything that a user can mend; what was finished stays.
    """
    settings = settings or RunSettings()
    arguments = {"model": str(model), "task": str(task), "data_dir": data_dir and str(data_dir), "labels": labels}
    # What can be refused is refused before the folder exists, so that the corrected call finds it free.
    _check_free(Path(out), overwrite)
    say("loading model and data")
    model = model if isinstance(model, HookedModel) else load(model, labels=labels)
    task = task if isinstance(task, Task) else load_task(task, data_dir=data_dir)
    task = _thin(task, settings)
    _pairs(task, settings)
    folder = Folder.create(out, settings, arguments, overwrite, say)
    with folder.stage("taking means"):
        folder.manifest |= _identity(model, task)
        means = mean_activations(model, _split(task, "train").sample(settings.mean_examples, settings.seed))
    results = RunResults(manifest=folder.manifest)
    _find(folder, results, model, task, means, settings)
    _test(folder, results, model, task, means, settings)
    with folder.stage("drawing figures and the report"):
        _draw(folder, results)
    folder.finish()
    return results


def _find(
    folder: Folder, results: RunResults, model: HookedModel, task: Task, means: MeanActivations, settings: RunSettings
) -> None:
    """Subnetworks, their accuracy, the core, the generalizing heads."""
    with folder.stage("searching subnetworks"):
        seeds = range(settings.seed, settings.seed + settings.seeds)
        train, steps = _split(task, "train"), settings.search_steps
        results.search = search_masks(model, train, settings.sparsity, seeds, means, steps=steps)
        folder.keep("search", results.search)
        for seed, subnetwork in zip(seeds, results.search.subnetworks, strict=True):
            subnetwork.save(folder.path / "subnetworks" / f"seed-{seed}.json")
    with folder.stage("evaluating subnetworks"):
        results.evaluation = evaluate(model, task, results.search.subnetworks, means, seed=settings.seed)
        folder.keep("evaluation", results.evaluation)
    with folder.stage("finding core and generalizing heads"):
        results.core = heuristic_core(results.search.subnetworks)
        folder.keep("core", results.core)
        results.generalizing = generalizing_heads(
            model,
            task,
            core=results.core,
            found=results.search,
            means=means,
            max_pairs=settings.select_pairs,
            seed=settings.seed,
        )
        folder.keep("generalizing", results.generalizing)


def _test(
    folder: Folder, results: RunResults, model: HookedModel, task: Task, means: MeanActivations, settings: RunSettings
) -> None:
    """The verdict on held-out pairs, and probes at a generalizing head with and without the core's paths."""
    with folder.stage("testing what generalizing heads read"):
        pairs = _pairs(task, settings)
        donors = Donors(model, _split(task, "train").sample(settings.mean_examples, settings.seed), settings.seed)
        folder.manifest["pairs"] = {
            kind: {"case": settings.case, "n": len(part), "sha256": part.fingerprint()} for kind, part in pairs.items()
        }
        results.verdict = reads_from(
            model,
            pairs,
            core=results.core,
            generalizing=results.generalizing,
            means=means,
            donors=donors,
            n_permutations=settings.permutations,
            margin=settings.margin,
            seed=settings.seed,
        )
        folder.keep("verdict", results.verdict)
        if results.verdict.edges is not None:
            folder.keep("edges", results.verdict.edges)
    with folder.stage("probing what the paths carry"):
        results.probes = _probes(model, task, results, means, settings)
        for name, probe in results.probes.items():
            folder.keep(f"probe-{name.replace(' ', '-')}", probe)


def _probes(
    model: HookedModel, task: Task, results: RunResults, means: MeanActivations, settings: RunSettings
) -> dict[str, Probe]:
    """Word overlap at the values of the strongest generalizing head: clean, and with paths to it cut.

    Cut means that the value head reads what it would read if the senders stood at their means (route "all"): the core's
    heads, or as many other heads (fewer where there are not so many).
    """
    assert results.core is not None
    assert results.generalizing is not None
    if not results.generalizing.heads or task.overlap is None:
        return {}
    receiver = _strongest(results.generalizing)
    core = [head for head in results.core.heads if is_upstream(head, receiver)]
    others = [
        head
        for head in model.components
        if isinstance(head, Head) and is_upstream(head, receiver) and head not in results.core.heads
    ]
    chosen = np.random.default_rng(settings.seed).permutation(len(others))[: len(core)]
    examples = task.overlap.sample(settings.probe_examples, settings.seed)

    def probe(senders: list[Head]) -> Probe:
        cut = [PatchPath(tuple(senders), receiver, through=("v",), source=means, route="all")] if senders else []
        site = Site(receiver.layer, "v", receiver.head)
        return fit_probe(model, examples, site, "token_overlap", interventions=cut, seed=settings.seed)

    found = {"clean": probe([])}
    if core:
        found["core paths cut"] = probe(core)
    if len(chosen):
        found["random paths cut"] = probe([others[i] for i in sorted(chosen)])
    return found


def _strongest(found: GeneralizingHeads) -> Head:
    """The generalizing head of largest |node effect|."""
    effects = found.table.set_index("head")["node_effect"].abs()
    return max(found.heads, key=lambda head: effects[str(head)])


def _pairs(task: Task, settings: RunSettings) -> dict[str, ContrastPairs]:
    """The test pairs of the run's case, one entry for each kind that exists."""
    kinds = task.pair_kinds(settings.case)
    if not kinds:
        raise HCError(
            f"{task.name} has no contrast pairs for {settings.case}: no path can be patched on it. "
            "Choose another case (--case): `hc-interp tasks` lists those that have pairs."
        )
    found = {kind: task.contrast_pairs(settings.case, kind=kind, split="test") for kind in kinds}
    rng = np.random.default_rng(settings.seed)
    return {
        kind: part.rows(sorted(rng.permutation(len(part))[: settings.test_pairs].tolist()))
        for kind, part in found.items()
    }


def _split(task: Task, name: str) -> Any:
    part = getattr(task, name)
    if part is None:
        raise HCError(
            f"{task.name} lacks {name}, which a run needs: masks and means use train, accuracy uses validation and "
            "cases. Build the Task with all of them."
        )
    return part


def _thin(task: Task, settings: RunSettings) -> Task:
    """At most the set number of examples in each split."""
    n = settings.eval_per_case
    return replace(
        task,
        train=_split(task, "train").sample(settings.train_examples, settings.seed),
        validation=_split(task, "validation").sample(max(n, VALIDATION_EXAMPLES), settings.seed),
        cases={name: part.sample(n, settings.seed) for name, part in _split(task, "cases").items()},
    )


def _identity(model: HookedModel, task: Task) -> dict[str, Any]:
    splits = {"train": _split(task, "train"), "validation": _split(task, "validation"), **_split(task, "cases")}
    if task.overlap is not None:
        splits["overlap"] = task.overlap
    return {
        "model": {"name": model.name, "fingerprint": model.fingerprint, "backend": model.backend_name},
        "device": str(model.device),
        "data": {"task": task.name, **{name: {"n": len(s), "sha256": s.fingerprint()} for name, s in splits.items()}},
    }


def _draw(folder: Folder, results: RunResults) -> None:
    from hc_interp.figures.html_report import draw_run

    folder.manifest["figures"] = draw_run(results, folder.path)
