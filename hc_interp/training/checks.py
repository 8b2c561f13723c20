"""Checks of the arguments of `finetune`, before any work starts."""

from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import torch

from hc_interp.components import Component, components, heads_of
from hc_interp.data.examples import Examples
from hc_interp.data.task import Task
from hc_interp.errors import DataError, ModelError, TrainingError
from hc_interp.models.hooked import HookedModel
from hc_interp.models.precision import dtype_name, dtype_named
from hc_interp.models.read_at import is_position
from hc_interp.training.optimization import Optimization
from hc_interp.training.phases import Phase, as_phases

_WHOLE = {"steps": 1, "batch_size": 1, "seed": 0}  # the least value of each whole number
_OPTIONAL = {"export_rank": 1, "max_per_case": 1, "save_every": 1, "until": 1}


def check_numbers(**given: Any) -> None:
    """Raise `TrainingError` for a number that has no meaning as this argument."""
    for name, least in {**_WHOLE, **_OPTIONAL, "pull_pairs": 0}.items():
        value = given[name]
        if name in _OPTIONAL and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            more = ", or None" if name in _OPTIONAL else ""
            raise TrainingError(f"{name}={value!r} was given. Expected a whole number from {least}{more}.")


def optimization(
    steps: int, lr: Any, weight_decay: Any, warm_up: Any, decay_to: Any, betas: Any, usual_lr: float
) -> Optimization:
    """AdamW's settings, with `usual_lr` where `lr` is None. Raises `TrainingError` for numbers without meaning."""
    if lr is not None and not (_is_number(lr) and 0 < lr < float("inf")):
        raise TrainingError(f"lr={lr!r} was given. Expected a positive number, the peak of the learning rate.")
    if not (_is_number(weight_decay) and 0 <= weight_decay < float("inf")):
        raise TrainingError(f"weight_decay={weight_decay!r} was given. Expected a number from 0.")
    shares = {"warm_up": (warm_up, "of the steps in which the learning rate rises")}
    shares["decay_to"] = (decay_to, "of its peak that the learning rate falls to")
    for name, (value, meaning) in shares.items():
        if not (_is_number(value) and 0 <= value <= 1):
            raise TrainingError(f"{name}={value!r} was given. Expected a number from 0 to 1, the share {meaning}.")
    listed = tuple(betas) if isinstance(betas, Iterable) and not isinstance(betas, str) else ()
    if len(listed) != 2 or not all(_is_number(beta) and 0 <= beta < 1 for beta in listed):
        raise TrainingError(f"betas={betas!r} was given. Expected two numbers from 0 to below 1, like (0.9, 0.999).")
    return Optimization(
        steps=int(steps), lr=float(usual_lr if lr is None else lr), weight_decay=float(weight_decay),
        warm_up=float(warm_up), decay_to=float(decay_to), betas=(float(listed[0]), float(listed[1])),
    )  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def checkpoint_steps(checkpoints: Any, steps: int) -> tuple[int, ...]:
    """The steps of the checkpoints, ascending; the last step is one of them in any case.

    "log" means 0, 1, 2, 4, 8, ... (Pythia's spacing, Biderman et al. 2023, arXiv 2304.01373). Raises `TrainingError`
    for anything else but steps from 0 to `steps`.
    """
    if isinstance(checkpoints, str) and checkpoints == "log":
        return (0, *(2**power for power in range(steps.bit_length()) if 2**power < steps), steps)
    listed = list(checkpoints) if isinstance(checkpoints, Iterable) and not isinstance(checkpoints, str) else None
    if listed is None or not all(_is_step(step, steps) for step in listed):
        raise TrainingError(
            f"checkpoints={checkpoints!r} was given. Expected 'log', or a list of steps from 0 to steps={steps}."
        )
    return tuple(sorted({*map(int, listed), steps}))


def _is_step(step: Any, steps: int) -> bool:
    return isinstance(step, Integral) and not isinstance(step, bool) and 0 <= int(step) <= steps


def training_phases(phases: Any, task: Any, steps: int) -> tuple[Phase, ...]:
    """The phases, by default all of `task.train`. Raises `DataError` for a task that is none or has no such split."""
    if not isinstance(task, Task):
        raise DataError(
            f"finetune was given a {type(task).__name__} where a Task was expected, which says what checkpoints are "
            "measured on. Wrap the data: hc.Task('mine', train=examples, validation=others)."
        )
    if phases is not None:
        return as_phases(phases, steps)
    if task.train is None:
        raise DataError(
            f"Task {task.name!r} has no training split. Give it one, Task(..., train=examples), or say what to train "
            "on: phases=[(0, {examples: 1.0})]."
        )
    return as_phases([(0, task.train)], steps)


def held_out_cases(task: Task, held_out: str | Iterable[str], parts: Sequence[Examples]) -> tuple[str, ...]:
    """The ids of the cases that no training example may be of.

    Raises `DataError` for a name that is no case of the task, and for a training example whose texts are those of an
    example of such a case.
    """
    cases = tuple(task.case_id(name) for name in ([held_out] if isinstance(held_out, str) else held_out))
    texts = {text: case for case in cases for text in _texts(task.case(case))}
    for part in parts:
        if seen := [(name, texts[text]) for name, text in zip(part.id, _texts(part), strict=True) if text in texts]:
            name, case = seen[0]
            raise DataError(
                f"{len(seen)} training examples of {part!r} are examples of a case that is held out (first: id {name}, "
                f"case {case}). Expected none, since the case is to show what training did not. Drop them from the "
                "phases, or leave the case out of held_out=."
            )
    return cases


def _texts(examples: Examples) -> list[tuple[str, str | None]]:
    return list(zip(examples.first, examples.second or [None] * len(examples), strict=True))


def refuse_read_function(model: HookedModel) -> None:
    """Raise `TrainingError` for a token classifier that is read where a function says, which no card can hold."""
    if (read_at := model.readout.read_at) is not None and not is_position(read_at):
        raise TrainingError(
            f"{model.name} is a token classifier that is read where a function says ({read_at!r}). The card of a "
            "series holds a position, not a function, so that its checkpoints could not be loaded again. Load the "
            "start with a position: hc.load(..., read_at=-2). Or train it elsewhere, and load its checkpoints one by "
            "one with the function."
        )


def frozen_components(model: HookedModel, freeze: Any, lora: Any) -> tuple[Component, ...]:
    """The components to freeze, each once. Raises `ComponentError` for one that the model lacks.

    Raises `TrainingError` together with LoRA: its updates are not divided by heads.
    """
    items = tuple(dict.fromkeys(map(model.check_component, components(heads_of(freeze)))))
    if items and lora is not None:
        raise TrainingError(
            f"freeze={[str(item) for item in items]} was given with lora={lora!r}. LoRA changes whole projections, so "
            "the weights of single heads cannot stand still. Train without lora=, or with lora={'r': ..., "
            "'target_modules': [...]} on other projections and without freeze=."
        )
    return items


def compute_dtype(dtype: Any, start: HookedModel) -> torch.dtype | None:
    """The type of matrix products in training passes; None if it is that of the trained weights.

    Raises `ModelError` for float16, whose range is too small for gradients without a scale, and for any type but their
    own where weights are not float32: autocast leaves these as they are.
    """
    named, weights = dtype_named(dtype), torch.promote_types(start.dtype, torch.float32)
    if named is None or named == weights:
        return None
    if named == torch.bfloat16 and weights == torch.float32:
        return named
    raise ModelError(
        f"dtype={dtype!r} was given for weights that are trained in {dtype_name(weights)}. Expected that type, or for "
        "float32 weights 'bfloat16', which computes matrix products in bfloat16. float16 overflows in gradients."
    )


def stored_dtype(dtype: Any, export_rank: int | None, lora: Any) -> torch.dtype | None:
    """The type of whole weights in the files of checkpoints; None if it is that of training.

    Raises `ModelError` for a type without a floating point, `TrainingError` where files do not hold whole weights.
    """
    named = dtype_named(dtype)
    if named is not None and (export_rank is not None or lora is not None):
        raise TrainingError(
            f"export_dtype={dtype!r} was given with {'lora' if export_rank is None else 'export_rank'}=, whose files "
            "are of low rank and have a type of their own. Leave export_dtype= out."
        )
    return named
