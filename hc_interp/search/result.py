"""`MaskSearch`: the subnetworks that a search found, its history, and how close they are to the full model."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hc_interp.errors import SearchError, warn
from hc_interp.records.result import Result
from hc_interp.shares import same_share
from hc_interp.subnetwork import Subnetwork

ROUNDS = ["run", "round", "examples", "before", "after", "traded"]
FAR, LEAST = 3.0, 0.1  # a mask is far worse than others above this multiple of their KL, and this many nats above it
HISTORY = ["run", "step", "kl", "expected_sparsity", "hard_sparsity", "l1", "l2"]


@dataclass(frozen=True, eq=False)
class MaskSearch(Result):
    """One run for each sparsity and seed: all seeds of the first sparsity, then all seeds of the next.

    Every field has one entry per run, except the two tables, which have a column `run`. `log_alpha` is in the order of
    a subnetwork's universe. A subnetwork is always the components of the largest `log_alpha`: a swap also swaps the
    `log_alpha` of its two components.

    `history` has a row for each training step, with values before the step's update: the KL under sampled gates on the
    batch, the expected sparsity, the share of gates below 1/2 without noise (`hard_sparsity`), and the multipliers.
    `exchanges` has a row for each round of swaps: the number of the run's own examples on which it measured losses, the
    mean loss of the binary mask on them before and after, and the number of swaps (`traded`).
    `kl_per_example` and `agrees` are of the binary mask on each held-out example: KL(full || subnetwork) in nats, and
    whether both give the same answer.

    If a run's expected sparsity ends far from the sparsity requested, it had too few steps: its mask has the exact size
    anyway, but more steps may choose a better one. A low KL shows that a subnetwork answers as the full model does on
    these data. It does not show that both compute the answers in the same way, or generalize alike.
    """

    subnetworks: tuple[Subnetwork, ...]
    sparsities: tuple[float, ...]
    seeds: tuple[int, ...]
    log_alpha: Float[Tensor, "run component"]
    history: pd.DataFrame
    exchanges: pd.DataFrame
    kl_per_example: Float[Tensor, "run example"]
    agrees: Bool[Tensor, "run example"]
    settings: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.subnetworks)

    @property
    def kl(self) -> Float[Tensor, " run"]:
        """Mean held-out KL of each run's binary mask, in nats."""
        return self.kl_per_example.double().mean(1)

    @property
    def agreement(self) -> Float[Tensor, " run"]:
        """Share of held-out examples on which the binary mask and the full model give the same answer."""
        return self.agrees.double().mean(1)

    def at(self, sparsity: float) -> tuple[Subnetwork, ...]:
        """The subnetworks of one sparsity, in the order of the seeds. Raises `SearchError` if no run has it."""
        runs = [run for run, share in enumerate(self.sparsities) if same_share(share, sparsity)]
        if not runs:
            raise SearchError(
                f"This search has no runs at sparsity {sparsity:g}. Expected one of "
                f"{', '.join(f'{share:g}' for share in dict.fromkeys(self.sparsities))}."
            )
        return tuple(self.subnetworks[run] for run in runs)

    @property
    def far(self) -> tuple[int, ...]:
        """The runs whose mask is far worse than the others of its sparsity: training went wrong there.

        Their held-out KL is above 3 times the median of the others', and at least .1 nats above it. A single run of a
        sparsity has nothing to be compared with.
        """
        return tuple(
            run for run, kl in enumerate(self.kl.tolist()) if kl > max(FAR * self._usual(run), self._usual(run) + LEAST)
        )

    def _usual(self, run: int) -> float:
        """The median held-out KL of the other runs of this run's sparsity; infinite if there is none."""
        share = self.sparsities[run]
        others = [i for i, other in enumerate(self.sparsities) if other == share and i != run]
        return float(self.kl[others].median()) if others else float("inf")

    @property
    def near(self) -> tuple[Subnetwork, ...]:
        """The subnetworks without those of `far`, in the order of the runs."""
        return tuple(item for run, item in enumerate(self.subnetworks) if run not in self.far)

    def far_in_words(self) -> str:
        """What is wrong with the runs of `far`, and the mend; "" if there is none."""
        if not self.far:
            return ""
        masks = [
            f"seed {self.seeds[run]} at sparsity {self.sparsities[run]:g} (held-out KL "
            f"{self.kl[run]:.2f}, of the others {self._usual(run):.2f})"
            for run in self.far
        ]
        return (
            f"some masks are far worse than the others of their sparsity: {', '.join(masks)}. A core of all masks "
            "then lacks what only these lack. Leave them out, hc.heuristic_core(found.near), or search again with more "
            "steps= or with swaps (exchanges=4)"
        )

    def warn_of_far(self) -> None:
        """Warn (`HCWarning`) of the runs of `far`, if there are any."""
        if words := self.far_in_words():
            warn(f"{words[0].upper()}{words[1:]}.")

    def to_frame(self) -> pd.DataFrame:
        """A row per run: run, seed, sparsity, kept heads, kept MLPs, held-out KL, agreement with the full model."""
        columns = {
            "run": range(len(self)),
            "seed": self.seeds,
            "sparsity": self.sparsities,
            "heads": [len(item.heads) for item in self.subnetworks],
            "mlps": [len(item.mlps) for item in self.subnetworks],
            "kl": self.kl.tolist(),
            "agreement": self.agreement.tolist(),
        }
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        shares = ", ".join(f"{share:g}" for share in dict.fromkeys(self.sparsities))
        low, high = torch.aminmax(self.kl)
        n_seeds = len(set(self.seeds))
        between = f"{low:.3f}" if len(self) == 1 else f"{low:.3f} to {high:.3f}"
        return (
            f"MaskSearch({len(self)} subnetwork{'s' * (len(self) != 1)} at sparsity {shares}, {n_seeds} "
            f"seed{'s' * (n_seeds != 1)}; held-out KL {between})"
        )
