"""`hc.run`: the whole experiment, from a checkpoint to a verdict, in one call that writes a folder of results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hc_interp.components import Head, is_upstream
from hc_interp.data.load import load_task
from hc_interp.data.tables import PROMPT_TASKS, is_task_file
from hc_interp.data.task import Task
from hc_interp.data.task_file.load import content_of
from hc_interp.errors import HCError
from hc_interp.evaluation.evaluate import evaluate
from hc_interp.evaluation.result import Evaluation
from hc_interp.experiment.preflight import check_task, check_together, kinds_of, readable, split
from hc_interp.experiment.settings import PIECES, RunSettings
from hc_interp.files import write_json
from hc_interp.heads.core import HeuristicCore, heuristic_core
from hc_interp.heads.generalizing import GeneralizingHeads, generalizing_heads
from hc_interp.interventions.means import MeanActivations, mean_activations
from hc_interp.interventions.paths import PatchPath
from hc_interp.models.hooked import HookedModel
from hc_interp.models.load import load
from hc_interp.models.precision import dtype_name
from hc_interp.models.read_at import ReadAt, is_position
from hc_interp.models.site import Site
from hc_interp.probing.path_probes import random_senders
from hc_interp.probing.probe import Probe, fit_probe
from hc_interp.reading.premise_result import Premises
from hc_interp.reading.premises import premises
from hc_interp.reading.reads_from import reads_from
from hc_interp.reading.verdict import Verdict
from hc_interp.records.digest import digest
from hc_interp.records.lock import locked, refuse_if_held
from hc_interp.records.pieces import Executor, Runner
from hc_interp.reports.report import draw_run
from hc_interp.reports.summary import FILE as SUMMARY
from hc_interp.reports.summary import summary
from hc_interp.runs.folder import ExperimentFolder, check_free
from hc_interp.runs.results import EXTRA, RunResults, named_file
from hc_interp.search.result import MaskSearch
from hc_interp.search.sample_subnetworks import sample_subnetworks
from hc_interp.search.sampling.sample import SubnetworkSample
from hc_interp.search.search_masks import search_masks
from hc_interp.statistics.samples import generator
from hc_interp.torch_modes import own_torch_modes

EXAMPLES_PER_PULL = 6  # overlap pairs take two passes for every subnetwork, so a case has fewer of them than examples
VALIDATION_EXAMPLES = 1000  # more than for a case: in-domain accuracy is a single number, so this costs little
SAMPLE = "sample of good subnetworks"  # the name of an extra
SWEEP_FACTORS = (1, 2, 4)  # times the sweeps of the settings, while a sample has not mixed
PER_CASE = 16  # times the examples of a case, and no more, so that a short run is short


@own_torch_modes
def run(
    model: HookedModel | nn.Module | str | Path,
    task: Task | str | Path,
    out: str | Path,
    *,
    data_dir: str | Path | None = None,
    template: str | None = None,
    settings: RunSettings | Mapping[str, Any] | None = None,
    labels: Sequence[str] | None = None,
    read_at: ReadAt | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    overwrite: bool = False,
    resume: bool = False,
    executor: Executor | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> RunResults:
    """Run the whole experiment on one model and one task.

    The stages: search masks, evaluate the subnetworks, find the core and the generalizing heads, patch the paths
    between them for the verdict, and fit probes with and without these paths.

    `model` is a `HookedModel` or what `hc.load` takes (with `labels`, `device`, `dtype` and, for a token classifier,
    `read_at`: a position, or a function that gives `[batch]` positions of an `hc.Batch`). `task` is a `Task` or what
    `hc.load_task` takes (with `data_dir` and `template`); prompts are made for the model, and their rows are scored by
    answers and foils. `settings` is a `hc.RunSettings`, such as `hc.RunSettings(seeds=4, test_pairs=64)`, or a dict of
    its fields; a task of prompts needs `case` and `kinds` of its own, such as "ABBA" and "names". With
    `core_from="sample"` the core is the one that a sample of all good subnetworks shares (`hc.sample_subnetworks`, an
    extra), and the searches are for comparison. Subnetworks of a second sparsity, `settings.beside`, are evaluated
    beside the first; the verdict does not use them, and their core is an extra. `say` is called with one line of text
    at each stage.

    The folder `out` gets `manifest.json`, a JSON and a CSV file for each result, `subnetworks/`, `figures/`,
    `report.html`, and `summary.json`: the answer and its numbers in one flat record for other programs. With `resume`
    an earlier run of the same call in `out` is continued: its finished results are read from there. With `overwrite` an
    earlier run is replaced. With `executor`, an object with `submit(fn, *args)` (`hc.spread`), its workers make the
    searches, the sample and the premises; pieces are kept in `out/pieces`.

    Returns a `RunResults`, which holds the result of each stage; `hc.RunResults.load(out)` reads it from the folder.
    Raises `HCError` for wrong arguments, a task that lacks what a stage needs, and a folder that is not free. Results
    that were finished before an error stay in the folder.
    """
    settings = RunSettings.model_validate({} if settings is None else settings)
    Runner.of(executor, 1, out)
    arguments = {"model": str(model), "task": str(task), "data_dir": data_dir and str(data_dir), "labels": labels}
    arguments |= {} if template is None else {"template": template}
    if not isinstance(task, Task) and is_task_file(task):
        arguments["files"] = content_of(task)
    arguments |= {"device": device and str(device), "dtype": dtype and str(dtype)}
    arguments |= {} if read_at is None else {"read_at": read_at if is_position(read_at) else digest(read_at)}
    if isinstance(model, HookedModel) and not (labels is read_at is device is dtype is None):
        raise HCError(
            f"{model!r} was given with labels, read_at, device or dtype. Expected these with a checkpoint only, since "
            "a loaded model has its own. Pass them to hc.load."
        )
    # All checks come before the folder is made, so that a corrected call finds the folder free.
    refuse_if_held(Path(out))
    check_free(Path(out), overwrite, resume)
    say("loading model and data")
    if isinstance(task, Task) or task not in PROMPT_TASKS:
        task = task if isinstance(task, Task) else load_task(task, data_dir=data_dir, template=template)
        check_task(task, settings)
    if not isinstance(model, HookedModel):
        model = load(model, labels=labels, read_at=read_at, device=device, dtype=dtype)
    if not isinstance(task, Task):
        task = load_task(task, template=template, tokenizer=model)
        check_task(task, settings)
    task = readable(model, task, settings, say)
    training = split(task, "train")
    task = _subsampled(task, settings)
    check_together(model, task, settings)
    record = {"arguments": arguments, "settings": settings.model_dump(), **_identity(model, task)}
    with locked(Path(out), say):
        folder = ExperimentFolder.open(out, record, overwrite=overwrite, resume=resume, say=say)
        with folder.stage("taking means"):
            means = mean_activations(model, training.sample(settings.mean_examples, settings.seed))
        results = RunResults(manifest=folder.manifest)
        _find(folder, results, model, task, means, settings, executor)
        _test(folder, results, model, task, means, settings, executor)
        with folder.stage("drawing figures and the report"):
            folder.manifest["figures"] = draw_run(results, folder.path)
        folder.finish()
        write_json(folder.path / SUMMARY, summary(results))
    return results


def _find(
    folder: ExperimentFolder,
    results: RunResults,
    model: HookedModel,
    task: Task,
    means: MeanActivations,
    settings: RunSettings,
    executor: Executor | None,
) -> None:
    """Search and evaluate subnetworks, and find the core and the generalizing heads."""
    sample = None
    if settings.core_from == "sample":
        with folder.stage("sampling subnetworks"):
            sample = _sample(folder, model, task, means, settings, executor)
        results.extras = {SAMPLE: sample}
    with folder.stage("searching subnetworks"):
        seeds = range(settings.seed, settings.seed + settings.seeds)
        train = split(task, "train")
        results.search = folder.part(
            "search",
            MaskSearch,
            lambda: search_masks(
                model,
                train,
                settings.sparsities,
                seeds,
                means,
                steps=settings.search_steps,
                exchanges=settings.exchanges,
                resume=_pieces(folder, "search", executor),
                executor=executor,
            ),
        )
        search = results.search
        named = {}
        for sparsity, seed, subnetwork in zip(search.sparsities, search.seeds, search.subnetworks, strict=True):
            named[f"{100 * sparsity:.3g} %, seed {seed}"] = subnetwork
            subnetwork.save(folder.path / "subnetworks" / f"sparsity-{sparsity:g}-seed-{seed}.json")
    with folder.stage("evaluating subnetworks"):
        results.evaluation = folder.part(
            "evaluation",
            Evaluation,
            lambda: evaluate(
                model, task, named, means, pull_pairs=settings.eval_per_case // EXAMPLES_PER_PULL, seed=settings.seed
            ),
        )
        if results.evaluation.suspicion:
            folder.manifest["warnings"] = [results.evaluation.suspicion]
            folder.say(f"warning: {results.evaluation.suspicion}")
    with folder.stage("finding core and generalizing heads"):
        first, *second = (partial(heuristic_core, search.at(sparsity)) for sparsity in settings.sparsities)
        core = results.core = folder.part(
            "core", HeuristicCore, first if sample is None else partial(heuristic_core, sample)
        )
        for sparsity, make in zip(settings.sparsities[1:], second, strict=True):
            name = f"core at {100 * sparsity:.3g} %"
            extra = folder.part(named_file(EXTRA, name).removesuffix(".json"), HeuristicCore, make)
            results.extras = {**results.extras, name: extra}
        results.generalizing = folder.part(
            "generalizing",
            GeneralizingHeads,
            lambda: generalizing_heads(
                model,
                task,
                core=core,
                found=search,
                means=means,
                kinds=kinds_of(settings),
                max_pairs=settings.select_pairs,
                seed=settings.seed,
            ),
        )


def _pieces(folder: ExperimentFolder, stage: str, executor: Executor | None) -> Path | None:
    """Where workers keep what they make of a stage. Without workers a stage is not kept in pieces."""
    return None if executor is None else folder.path / PIECES / stage


def _sample(
    folder: ExperimentFolder,
    model: HookedModel,
    task: Task,
    means: MeanActivations,
    settings: RunSettings,
    executor: Executor | None,
) -> SubnetworkSample:
    """A sample of all good subnetworks at the verdict's sparsity, with more sweeps while it has not mixed.

    Its blocks are kept in the folder, so that a run that was stopped goes on. The core of a sample that never mixes is
    refused by `heuristic_core`.
    """

    def draw() -> SubnetworkSample:
        for factor in SWEEP_FACTORS:
            sample = sample_subnetworks(
                model, split(task, "train"), settings.sparsity, means=means, seed=settings.seed,
                resume=folder.path / "sample", steps=settings.search_steps, sweeps=factor * settings.sweeps,
                executor=executor,
            )  # fmt: skip
            if sample.mixed:
                break
            folder.say(f"the sample has not mixed after {factor * settings.sweeps} sweeps")
        return sample

    return folder.part(named_file(EXTRA, SAMPLE).removesuffix(".json"), SubnetworkSample, draw)


def _test(
    folder: ExperimentFolder,
    results: RunResults,
    model: HookedModel,
    task: Task,
    means: MeanActivations,
    settings: RunSettings,
    executor: Executor | None,
) -> None:
    """Check the premises, give the verdict on held-out pairs, and fit probes with and without the core's paths."""
    core, generalizing = results.core, results.generalizing
    assert core is not None
    assert generalizing is not None
    heuristic = task.heuristic_of(settings.case)
    if heuristic is None:
        folder.say(
            f"premises not checked: {task.name} does not say whether a heuristic is right on {settings.case} "
            "(heuristic= and heuristic_label= of hc.Task; prompts have none), so the verdict stays open"
        )
    else:
        with folder.stage("checking the premises"):
            results.premises = folder.part(
                "premises",
                Premises,
                lambda: premises(
                    model,
                    task,
                    core,
                    generalizing,
                    means,
                    heuristic=heuristic,
                    n_sets=settings.comparison_sets,
                    max_per_case=settings.premise_examples,
                    seed=settings.seed,
                    resume=_pieces(folder, "premises", executor),
                    executor=executor,
                ),
            )
    with folder.stage("testing what generalizing heads read"):
        pairs = task.test_pairs(settings.case, settings.test_pairs, settings.seed)
        folder.manifest["pairs"] = {
            kind: {"case": settings.case, "n": len(part), "sha256": part.fingerprint()} for kind, part in pairs.items()
        }
        results.verdict = folder.part(
            "verdict",
            Verdict,
            lambda: reads_from(
                model,
                pairs,
                core=core,
                generalizing=generalizing,
                premises=results.premises,
                means=means,
                n_permutations=settings.permutations,
                margin=settings.margin,
                delta=settings.delta,
                seed=settings.seed,
            ),
        )
        if results.verdict.edges is not None:
            folder.keep("edges", results.verdict.edges)
    with folder.stage("probing what the paths carry"):
        results.probes = _probes(folder, model, task, results, means, settings)


def _probes(
    folder: ExperimentFolder,
    model: HookedModel,
    task: Task,
    results: RunResults,
    means: MeanActivations,
    settings: RunSettings,
) -> dict[str, Probe]:
    """Probes for word overlap at the values of the strongest generalizing head: clean, and with paths to it cut.

    The paths from some senders are cut by path patching on route "all": the head's values are computed as if the
    senders had their mean activations. The senders are the core's heads, or as many other heads of the same layers
    (`random_senders`).
    """
    assert results.core is not None
    assert results.generalizing is not None
    if not results.generalizing.heads or task.overlap is None:
        lacking = "no generalizing heads" if task.overlap is not None else f"{task.name} has no split overlap="
        folder.say(f"no probes: {lacking}")
        return {}
    receiver = _strongest(results.generalizing)
    core = [head for head in results.core.heads if is_upstream(head, receiver)]
    examples = task.overlap.sample(settings.probe_examples, settings.seed)

    def fit(senders: Sequence[Head]) -> Probe:
        cut = [PatchPath(tuple(senders), receiver, through=("v",), source=means, route="all")] if senders else []
        site = Site(receiver.layer, "v", receiver.head)
        return fit_probe(model, examples, site, "token_overlap", interventions=cut, seed=settings.seed)

    arms: dict[str, Sequence[Head]] = {"clean": []}
    if core:
        arms["core paths cut"] = core
        rng = generator(settings.seed)
        arms["random paths cut"] = random_senders(model, results.core.heads, receiver, exclude=(), rng=rng)
    return {
        name: folder.part(f"probe-{name.replace(' ', '-')}", Probe, partial(fit, senders))
        for name, senders in arms.items()
        if senders or name == "clean"
    }


def _strongest(generalizing: GeneralizingHeads) -> Head:
    """The generalizing head of largest |node effect|."""
    effects = generalizing.table.set_index("head")["node_effect"].abs()
    return max(generalizing.heads, key=lambda head: effects[str(head)])


def _subsampled(task: Task, settings: RunSettings) -> Task:
    """The task with at most as many examples in each split as the settings say."""
    n = settings.eval_per_case
    return replace(
        task,
        train=split(task, "train").sample(settings.train_examples, settings.seed),
        validation=split(task, "validation").sample(max(n, min(VALIDATION_EXAMPLES, PER_CASE * n)), settings.seed),
        cases={name: part.sample(n, settings.seed) for name, part in split(task, "cases").items()},
    )


def _identity(model: HookedModel, task: Task) -> dict[str, Any]:
    """The part of the manifest that says on which model and data a run was made."""
    splits = {"train": split(task, "train"), "validation": split(task, "validation"), **split(task, "cases")}
    if task.overlap is not None:
        splits["overlap"] = task.overlap
    pairs = task.pairs if isinstance(task.pairs, Mapping) else {}  # those that a task makes follow from its cases
    given = {f"{kind} pairs of {case}": {"n": len(p), "sha256": p.fingerprint()} for (case, kind), p in pairs.items()}
    return {
        "model": {"name": model.name, "fingerprint": model.fingerprint, "backend": model.backend_name},
        "device": str(model.device),
        "dtype": dtype_name(model.dtype),
        "data": {"task": task.name, **{name: {"n": len(s), "sha256": s.fingerprint()} for name, s in splits.items()}},
        **({"given_pairs": given} if given else {}),
    }
