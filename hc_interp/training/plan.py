"""`Plan`: the checked arguments of one fine-tuning, and what follows from them."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from hc_interp.components import Component
from hc_interp.data.parts import fingerprint
from hc_interp.data.task import Task
from hc_interp.errors import TrainingError
from hc_interp.models.checkpoints import SeriesFolder
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.load import load
from hc_interp.models.low_rank import factored
from hc_interp.models.precision import dtype_name
from hc_interp.models.trainable import TrainableModel, trainable_module
from hc_interp.records.digest import digest
from hc_interp.records.provenance import described, versions
from hc_interp.training.data import TrainingData
from hc_interp.training.frozen import FrozenWeights, freeze_record
from hc_interp.training.lora import LoraSettings
from hc_interp.training.measures import measured
from hc_interp.training.optimization import Optimization
from hc_interp.training.phases import Phase, distinct_parts, draw
from hc_interp.training.trainer import Trainer


@dataclass(frozen=True, eq=False)
class Plan:
    """The checked arguments of one fine-tuning."""

    start: HookedModel
    task: Task
    phases: tuple[Phase, ...]
    checkpoints: tuple[int, ...]
    freeze: tuple[Component, ...]
    lora: LoraSettings | None
    interventions: tuple[Intervention, ...]
    held_out: tuple[str, ...]
    steps: int
    batch_size: int
    optimization: Optimization
    seed: int
    dropout: bool
    device: torch.device
    autocast: torch.dtype | None
    export_rank: int | None
    export_dtype: torch.dtype | None
    max_per_case: int | None
    pull_pairs: int

    def check(self) -> None:
        """Raise `TrainingError` for arguments that exclude each other."""
        if self.lora is not None and self.export_rank is not None:
            raise TrainingError(
                f"export_rank={self.export_rank} was given with lora=. The files of LoRA are of low rank already: "
                f"they hold updates of rank {self.lora.rank}. Leave export_rank= out."
            )
        if self.lora is not None and self.lora.dropout and self.interventions:
            raise TrainingError(
                f"lora_dropout={self.lora.dropout} was given with interventions=. Interventions read a projection's "
                "weight, which dropout in an adapter makes another for each token. Set lora_dropout to 0."
            )

    @property
    def weights(self) -> str:
        """What the file of a checkpoint holds, as `SeriesFolder` names it."""
        return "lora" if self.lora is not None else "full" if self.export_rank is None else "low-rank"

    def recipe(self) -> dict[str, Any]:
        """Everything that shapes the series, by which a resumed training is recognised as the same."""
        measured_on = [part for part in (self.task.validation, *(self.task.cases or {}).values()) if part is not None]
        return {
            "start": digest(self.start),
            "phases": [phase.record() for phase in self.phases],
            "checkpoints": self.checkpoints,
            "batch_size": self.batch_size,
            **asdict(self.optimization),
            "lora": self.lora and self.lora.record(),
            "freeze": freeze_record(self.start, self.freeze),
            "interventions": [described(item) for item in self.interventions],
            "interventions_digest": digest(list(self.interventions)),
            "held_out": self.held_out,
            "seed": self.seed,
            "dropout": self.dropout,
            "device": self.device.type,
            "autocast": self.autocast and dtype_name(self.autocast),
            "export_rank": self.export_rank,
            "export_dtype": self.export_dtype and dtype_name(self.export_dtype),
            "measured_on": fingerprint(measured_on),
            "max_per_case": self.max_per_case,
            "pull_pairs": self.pull_pairs,
            "versions": versions(),
        }

    def described(self) -> dict[str, Any]:
        """The card's further entries: what a reader of the series needs to load it, and its origin."""
        return {
            "weights": self.weights,
            "labels": self.start.labels,
            **({} if (read_at := self.start.readout.read_at) is None else {"read_at": read_at}),
            "dtype": dtype_name(torch.promote_types(self.start.dtype, torch.float32)),
            "lora": self.lora and self.lora.record(),
            "task": self.task.name,
            "held_out": self.held_out,
            "start": {"name": self.start.name, "fingerprint": self.start.fingerprint, "files": {}},
        }

    def trainer(self) -> Trainer:
        """A trainer at step 0."""
        module = trainable_module(self.start, self.device)
        if self.lora is not None:
            self.lora.inject(module, self.seed)
        model = TrainableModel(self.start, module, dropout=self.dropout, autocast=self.autocast)
        if self.lora is not None:
            self.lora.choose_trained(module)
        draws = draw(self.phases, self.steps, self.batch_size, self.seed)
        data = TrainingData.of(model, distinct_parts(self.phases), draws)
        frozen = FrozenWeights.of(model, self.freeze)
        return Trainer(model, data, self.interventions, frozen, self.optimization, self.seed)

    def tensors(self, trainer: Trainer) -> dict[str, Tensor]:
        """What the file of a checkpoint holds of the weights as they are now."""
        module = trainer.model.module
        if self.lora is not None:
            return self.lora.tensors(module)
        weights = {name: parameter.detach() for name, parameter in module.named_parameters()}
        if self.export_rank is None:
            return {name: value.to(self.export_dtype or value.dtype) for name, value in weights.items()}
        before = dict(self.start.module.named_parameters())
        difference = {name: value - before[name].detach().to(value) for name, value in weights.items()}
        return factored(difference, self.export_rank)

    def measures(self, folder: SeriesFolder, step: int) -> list[dict[str, Any]]:
        """A row for the model as it is loaded from its file, and one under the interventions if there are any."""
        how: dict[str, Any] = {"max_per_case": self.max_per_case, "pull_pairs": self.pull_pairs, "seed": self.seed}
        loaded = load(f"{folder.path}@{step}", device=self.device)
        rows = [measured(loaded, self.task, (), **how)]
        if self.interventions:
            # Read as the start is, so that means of the start are a source for it.
            intervened = TrainableModel(self.start, loaded.module)
            rows.append(measured(intervened, self.task, self.interventions, **how))
        return rows
