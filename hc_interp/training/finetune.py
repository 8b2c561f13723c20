"""`hc.finetune`: fine-tune a model on a task, under interventions too, and keep checkpoints as a series."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hc_interp.data.task import Task
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.load import load
from hc_interp.models.quiet import no_bars_of_transformers
from hc_interp.models.series import ModelSeries, load_series
from hc_interp.progress import Stage, stage
from hc_interp.records.lock import locked
from hc_interp.torch_modes import own_torch_modes
from hc_interp.training.checks import (
    check_numbers,
    checkpoint_steps,
    compute_dtype,
    frozen_components,
    held_out_cases,
    optimization,
    refuse_read_function,
    stored_dtype,
    training_phases,
)
from hc_interp.training.defaults import (
    BATCH_SIZE,
    BETAS,
    LORA_RATE,
    MAX_PER_CASE,
    PULL_PAIRS,
    RATE,
    WARM_UP,
    WEIGHT_DECAY,
)
from hc_interp.training.folder import TrainingFolder
from hc_interp.training.lora import LoraSettings
from hc_interp.training.measures import in_words
from hc_interp.training.phases import distinct_parts
from hc_interp.training.plan import Plan
from hc_interp.training.trainer import Trainer, own_random_state


@own_torch_modes
@torch.enable_grad()
def finetune(
    start: Any,
    task: Task,
    out: str | Path,
    *,
    phases: Sequence[tuple[int, Any]] | None = None,
    steps: int,
    checkpoints: str | Iterable[int] = "log",
    batch_size: int = BATCH_SIZE,
    lr: float | None = None,
    weight_decay: float = WEIGHT_DECAY,
    warm_up: float = WARM_UP,
    decay_to: float = 0.0,
    betas: tuple[float, float] = BETAS,
    lora: int | Mapping[str, Any] | Any | None = None,
    freeze: Any = (),
    interventions: Iterable[Intervention] = (),
    held_out: str | Iterable[str] = (),
    seed: int = 0,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    dropout: bool = True,
    export_rank: int | None = None,
    export_dtype: torch.dtype | str | None = None,
    max_per_case: int | None = MAX_PER_CASE,
    pull_pairs: int = PULL_PAIRS,
    save_every: int | None = None,
    until: int | None = None,
) -> ModelSeries:
    """Fine-tune a copy of `start` and keep checkpoints of it in the folder `out`.

    The loss is the cross entropy of the label groups: on examples of two labels for a model of three classes, the
    probabilities of a group's classes are summed. AdamW's rate rises to `lr` in the share `warm_up` of the steps and
    then falls linearly to `decay_to` times that. Gradients are clipped to norm 1. Matrices decay by `weight_decay`
    times the rate.

    Called again with the same arguments, a killed training goes on from its last state and ends with the same weights,
    to the last bit on one machine at one number of threads; a finished one is read. Batches, dropout and LoRA's start
    depend on `seed` and the step alone, so that runs of one seed differ by what they were asked to differ in.

    Arguments:
        start: a `HookedModel`, which does not change, or what `hc.load` takes.
        task: what the checkpoints are measured on; by default its `train` is trained on.
        out: the folder of the series, new or empty, or that of the same training.
        phases: pairs of a first step and a mixture `{examples: share, ...}` whose shares sum to 1 (or a list of pairs,
            or one `Examples`). Each example of a batch is drawn by the shares of the phase that the step is in.
        steps: number of updates, each on `batch_size` examples.
        checkpoints: "log" (0, 1, 2, 4, 8, ... and the last step) or a list of steps, to which the last is added.
        lr: the peak of the learning rate. None: 5e-5, or 3e-4 with LoRA.
        weight_decay: AdamW's decoupled decay of matrices; biases and the weights of norms do not decay.
        warm_up: share of the steps in which the learning rate rises.
        decay_to: share of its peak that the learning rate then falls to; 1 keeps it where it is.
        betas: how slowly AdamW's means of the gradient and of its square forget, as in torch.
        lora: None trains all weights. A rank, or fields of peft's `LoraConfig`, trains low-rank updates and the
            classifier, and only these are kept. A checkpoint is merged when it is loaded.
        freeze: components whose weights stand still: of a head its slices of W_Q, W_K, W_V, of their biases and of
            W_O, of an MLP its projections. Keys and values that heads share stand still for all of them.
        interventions: stand in every training pass. Values of `means` are those given, while donors and pairs are run
            through the model as it is in training. Gradients reach all weights through what is not replaced.
        held_out: cases of the task of which no example may be trained on.
        device: where to train. None: the device of `start`.
        dtype: "bfloat16" computes matrix products in bfloat16, beside weights in float32. Weights are trained in
            float32, or in float64 if `start` has it.
        dropout: whether the model's own dropout is on. All passes of a step drop the same values.
        export_rank: keep checkpoints as differences of this rank from the start, in float16, instead of whole weights.
        export_dtype: keep whole weights in this type: "float16" or "bfloat16" halves the files. Training itself goes on
            with unrounded weights, and what is measured at a checkpoint is the model of its file.
        max_per_case: examples of validation and of each case that a checkpoint is measured on. None: all.
        pull_pairs: overlap pairs of each case that its pull is measured on.
        save_every: save the state, by which a killed training goes on, also every so many steps.
        until: stop after this step in this call, as where a cluster limits its time. The next call goes on.

    Returns the `ModelSeries`. `.metrics` has what was measured at each checkpoint, on the model as it is loaded from
    its file; with interventions also under these.

    Raises, before any work, `TrainingError` for arguments without meaning and for a folder of another training,
    `DataError` and `LabelError` for data that do not fit, `ComponentError` and `InterventionError` as passes do.
    Accuracies at checkpoints are of at most `max_per_case` examples a case: a case of 200 has a standard error of up to
    .035.
    """
    given = {"steps": steps, "batch_size": batch_size, "seed": seed, "export_rank": export_rank}
    check_numbers(**given, max_per_case=max_per_case, pull_pairs=pull_pairs, save_every=save_every, until=until)
    adamw = optimization(steps, lr, weight_decay, warm_up, decay_to, betas, LORA_RATE if lora is not None else RATE)
    mixture = training_phases(phases, task, steps)
    kept = checkpoint_steps(checkpoints, steps)
    cases = held_out_cases(task, held_out, distinct_parts(mixture))
    model = start if isinstance(start, HookedModel) else load(start, device=device)
    refuse_read_function(model)
    adapters = LoraSettings.of(lora, model.own_geometry)
    plan = Plan(
        model, task, mixture, kept, frozen_components(model, freeze, lora), adapters,
        tuple(model.check_interventions(interventions)), cases, int(steps), int(batch_size),
        adamw, int(seed), bool(dropout),
        torch.device(device or model.device), compute_dtype(dtype, model), export_rank,
        stored_dtype(export_dtype, export_rank, lora), max_per_case, int(pull_pairs),
    )  # fmt: skip
    plan.check()
    folder = TrainingFolder.of(out, plan.recipe(), **plan.described())
    if not folder.card["finished"]:
        with own_random_state(plan.device), no_bars_of_transformers():
            trainer = plan.trainer()
            with torch.no_grad():
                trainer.data.check_sources(plan.interventions)
                trainer.check(trainer.loss())  # whatever else does not fit together fails here, in the first batch
            with locked(folder.path, lambda line: None):
                folder = TrainingFolder.of(out, plan.recipe(), **plan.described())
                _train(folder, plan, trainer, save_every, int(steps) if until is None else min(int(until), int(steps)))
    return load_series(folder.path, device=plan.device)


def _train(folder: TrainingFolder, plan: Plan, trainer: Trainer, save_every: int | None, until: int) -> None:
    """All updates that are left to the step `until`, with a checkpoint and a saved state where they are due."""
    folder.begin(plan.start, plan.export_dtype)
    folder.take_state(trainer)
    with stage("fine-tuning", plan.steps) as progress:
        progress.advance(trainer.done)
        if trainer.done == 0:
            _checkpoint(folder, plan, trainer, progress)
        while trainer.done < until:
            trainer.update()
            progress.advance()
            if trainer.done in plan.checkpoints:
                _checkpoint(folder, plan, trainer, progress)
            elif trainer.done == until or (save_every is not None and trainer.done % save_every == 0):
                folder.keep_state(trainer)
    if trainer.done == plan.steps:
        folder.finish()


def _checkpoint(folder: TrainingFolder, plan: Plan, trainer: Trainer, progress: Stage) -> None:
    """Write a checkpoint, measure it, and save the state, in this order: a kill between them repeats all three."""
    step = trainer.done
    if step not in plan.checkpoints:
        return
    loss = sum(trainer.losses) / len(trainer.losses) if trainer.losses else None
    folder.put(step, plan.tensors(trainer))
    rows = [{"step": step, "loss": loss, **row} for row in plan.measures(folder.series, step)]
    folder.note(step, rows)
    trainer.losses.clear()
    folder.keep_state(trainer)
    progress.part(f"checkpoint {step} ({in_words(rows[0])})")
