"""Training one mask: gradient descent on `log_alpha`, gradient ascent on the two Lagrange multipliers."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hc_interp.errors import SearchError
from hc_interp.progress import Stage
from hc_interp.search.hard_concrete import expected_sparsity, lagrangian, mean_gates, ramped_target, sample_gates
from hc_interp.search.objective import Objective
from hc_interp.search.plan import RandomStreams, epochs

# Chosen on a 6-layer NLI model at sparsity 0.5, by held-out KL of the binary mask.
INIT_MEAN, INIT_STD = 2.0, 0.3  # of log_alpha: gates start nearly open, yet close in few steps; 0 and 1 do worse
RATE = 0.2  # learning rate of Adam for log_alpha
MULTIPLIER_RATE = 1.0  # learning rate of the ascent on the multipliers
L2_START = 40.0  # with a start at 0, l1 grows during the ramp until the sparsity is far above its target
RAMP = 0.75  # share of the steps in which the target grows
NOISE_MARGIN = 1e-6  # least distance of uniform noise from 0 and 1, where its logit is infinite


@dataclass
class Training:
    """The settings of one run's training, and in `history` a row for each step."""

    objective: Objective
    rows: Int[Tensor, " n"]
    sparsity: float
    streams: RandomStreams
    steps: int
    batch_size: int
    history: list[dict[str, float]] = field(default_factory=list)

    @torch.enable_grad()
    def run(self, progress: Stage) -> Float[Tensor, " component"]:
        """Train, and return the final `log_alpha`. Raises `SearchError` at a step whose loss is not finite."""
        start, noise = (torch.Generator().manual_seed(self.streams.of(stream)) for stream in ("start", "noise"))
        order = np.random.default_rng(self.streams.of("order"))
        device = self.objective.model.device
        n = len(self.objective.universe)
        log_alpha = (INIT_MEAN + INIT_STD * torch.randn(n, generator=start)).to(device).requires_grad_()
        l1 = torch.zeros((), device=device, requires_grad=True)
        l2 = torch.full((), L2_START, device=device, requires_grad=True)
        descent = torch.optim.Adam([log_alpha], lr=RATE)
        ascent = torch.optim.SGD([l1, l2], lr=MULTIPLIER_RATE, maximize=True)
        batches = epochs(self.rows, self.objective.pool.lengths, self.batch_size, order)
        for step, rows in zip(range(self.steps), batches, strict=False):
            uniform = torch.rand(len(rows), n, generator=noise).clamp(NOISE_MARGIN, 1 - NOISE_MARGIN).to(device)
            logits = self.objective.logits(sample_gates(log_alpha, uniform), rows)
            loss, kl = self.objective.loss(logits, rows).mean(), self.objective.kl(logits.detach(), rows).mean()
            sparsity = expected_sparsity(log_alpha)
            target = ramped_target(step, round(RAMP * self.steps), self.sparsity)
            self._check(step, loss)
            self._record(step, kl, sparsity, log_alpha, l1, l2)
            descent.zero_grad()
            ascent.zero_grad()
            (loss + lagrangian(sparsity, target, l1, l2)).backward(inputs=[log_alpha, l1, l2])
            descent.step()
            ascent.step()
            progress.advance()
        return log_alpha.detach().cpu()

    def _check(self, step: int, loss: Tensor) -> None:
        if not bool(torch.isfinite(loss)):
            raise SearchError(
                f"The loss is {loss.item()} at step {step} of {self.steps} (seed {self.streams.seed}, sparsity "
                f"{self.sparsity:g}). Expected a finite number; check the means, the model's dtype and the "
                "interventions."
            )

    def _record(self, step: int, kl: Tensor, sparsity: Tensor, log_alpha: Tensor, l1: Tensor, l2: Tensor) -> None:
        row = {"step": step, "kl": kl.item(), "expected_sparsity": sparsity.item()}
        row["hard_sparsity"] = (mean_gates(log_alpha) < 0.5).float().mean().item()
        self.history.append(row | {"l1": l1.item(), "l2": l2.item()})
