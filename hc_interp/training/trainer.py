"""`Trainer`: one update of the weights after another, and everything that the next update depends on."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hc_interp.errors import TrainingError
from hc_interp.metrics import group_cross_entropy
from hc_interp.models.hooked import Intervention
from hc_interp.models.trainable import TrainableModel
from hc_interp.training.data import TrainingData
from hc_interp.training.defaults import CLIP
from hc_interp.training.frozen import FrozenWeights
from hc_interp.training.optimization import Optimization, moments, set_moments, set_rate

_WEIGHT = "weight:"


@dataclass
class Trainer:
    """The weights of `model` after `done` updates, the optimizer's state, and the losses since the last checkpoint.

    The loss of an update is the mean cross entropy of the label groups, in nats, under `interventions`. An update
    depends on nothing but this state and its own number: batches and dropout are drawn by `seed` and the number.
    """

    model: TrainableModel
    data: TrainingData
    interventions: Sequence[Intervention]
    frozen: FrozenWeights
    optimization: Optimization
    seed: int
    done: int = 0
    losses: list[float] = field(default_factory=list)

    @cached_property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained, by name."""
        named = self.model.module.named_parameters()
        return {name: parameter for name, parameter in named if parameter.requires_grad}

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        return self.optimization.adamw(self.parameters)

    def loss(self) -> Tensor:
        """The loss of the next update's batch."""
        batch, gold = self.data.batch(self.done)
        self.model.seed_dropout(int(np.random.default_rng([self.seed, 2, self.done]).integers(2**62)))
        return group_cross_entropy(self.model.logits(batch, self.interventions), gold).mean()

    @torch.enable_grad()
    def update(self) -> None:
        """One update of the weights. Raises `TrainingError` for a loss that is not finite."""
        loss = self.loss()
        self.check(loss)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward(inputs=list(self.parameters.values()))
        self.frozen.mask_gradients(self.model.module)
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), CLIP)
        set_rate(self.optimizer, self.optimization.rate_at(self.done))
        self.optimizer.step()
        self.frozen.restore(self.model.module)
        self.losses.append(loss.item())
        self.done += 1

    def check(self, loss: Tensor) -> None:
        """Raise `TrainingError` for a loss that is not finite."""
        if not bool(torch.isfinite(loss)):
            raise TrainingError(
                f"The loss is {loss.item()} at step {self.done} of {self.optimization.steps} (peak rate "
                f"{self.optimization.lr:g}, seed {self.seed}). Expected a finite number; check the interventions, "
                "and try a smaller lr=."
            )

    def state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The trained weights and the optimizer's state as tensors; the number of updates and the losses as text."""
        weights = {f"{_WEIGHT}{name}": parameter.detach() for name, parameter in self.parameters.items()}
        words = {"done": json.dumps(self.done), "losses": json.dumps(self.losses)}
        return {**weights, **moments(self.optimizer, self.parameters)}, words

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], words: dict[str, str]) -> None:
        """Take up the state that `state` returned."""
        for name, parameter in self.parameters.items():
            parameter.copy_(tensors[f"{_WEIGHT}{name}"])
        set_moments(self.optimizer, self.parameters, tensors)
        self.done, self.losses = json.loads(words["done"]), json.loads(words["losses"])


@contextmanager
def own_random_state(device: torch.device) -> Iterator[None]:
    """Leave torch's random state as it was, and on CUDA choose kernels that give the same sums each time.

    Kernels without such a form are used with torch's own warning.
    """
    cuda = device.type == "cuda"
    before: Any = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng(devices=[device] if cuda else []):
        try:
            if cuda:
                torch.use_deterministic_algorithms(True, warn_only=True)
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
