"""`MaskSearch`: the subnetworks that a search found, how it got there, and how near they are to the full model."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hc_interp.components import Subnetwork
from hc_interp.errors import SearchError
from hc_interp.records.result import Result
from hc_interp.shares import same_share

ROUNDS = ["run", "round", "examples", "before", "after", "traded"]
HISTORY = ["run", "step", "kl", "expected_sparsity", "hard_sparsity", "l1", "l2"]


@dataclass(frozen=True, eq=False)
class MaskSearch(Result):
    """One run for each sparsity and seed, sparsities outermost; every field but `history` has one entry per run.

    `log_alpha` `[run, component]` is in the order of a subnetwork's universe. `history` holds, for each step before its
    update, the KL under sampled gates on that batch, the expected sparsity, the share of gates below 1/2 without noise
    (`hard_sparsity`) and the multipliers. `exchanges` holds, for each round of trades, on how many of the run's own
    examples they were measured, the loss of the binary mask on these before and after, and how many components were
    traded. A trade swaps two components' `log_alpha`, so that a subnetwork is always what has the largest.
    `kl_per_example` and `agrees` `[run, held-out example]` are of the binary mask: KL(full || subnetwork) in nats, and
    whether both give the same answer.

    A run whose expected sparsity ends far from the one asked for was cut short: its mask has the exact size all the
    same, but more steps may choose better. A low KL says that a subnetwork answers as the full model does on this data,
    not that it does so by the same means, nor that it generalizes alike.
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
        """The subnetworks of one sparsity of the grid, in the order of the seeds. Raises `SearchError` for another."""
        places = [place for place, share in enumerate(self.sparsities) if same_share(share, sparsity)]
        if not places:
            raise SearchError(
                f"This search has no runs at sparsity {sparsity:g}. Expected one of "
                f"{', '.join(f'{share:g}' for share in dict.fromkeys(self.sparsities))}."
            )
        return tuple(self.subnetworks[place] for place in places)

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
        return (
            f"MaskSearch({len(self)} subnetworks at sparsity {shares}, {len(set(self.seeds))} seeds; held-out KL "
            f"{low:.3f} to {high:.3f})"
        )
