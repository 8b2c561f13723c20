"""`PathEffects`: what path patching found, per pair of sentences, and on its three scales."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import component
from hc_interp.errors import HCError, ResultError
from hc_interp.records.result import Result
from hc_interp.statistics.tests import bootstrap, fdr, ratio_interval, sign_flip_test


@dataclass(frozen=True, eq=False)
class PathEffects(Result):
    """Effects of paths: one row per (sender, receiver, input), one value per pair of sentences.

    `effects` `[pair, row]` is `metric(step 3) - metric(clean)`; `explained` and `extent` `[pair, row]` are
    `<dz, dz_full>` and `|dz_full|^2` of the receivers, whose sums make the response; `node` `[pair, row]` is the
    receivers' own node effect (all their values set to corrupt at once) and `total` `[pair]` is
    `metric(corrupt) - metric(clean)` (both NaN when the corrupt values do not come from pairs). `sources` are the units
    of the bootstrap. `methods` says for each row whether it is "exact" or an "estimate", whose `node`, `explained` and
    `extent` are NaN. `part` of a shard is the number of rows of the whole sweep and the places of its own among them.

    `dtype` is the floating type that the model computed in.

    An effect is causal on these pairs and this corruption. It does not say that the path is needed: others may carry
    the same, and a route that holds everything else at clean hides what passes through it.
    """

    rows: tuple[tuple[str, str, str], ...]
    downstream: tuple[bool, ...]
    effects: Float[Tensor, "pair row"]
    node: Float[Tensor, "pair row"]
    total: Float[Tensor, " pair"]
    explained: Float[Tensor, "pair row"]
    extent: Float[Tensor, "pair row"]
    sources: tuple[str, ...]
    ids: tuple[str, ...]
    route: str
    metric: str
    level: float
    seed: int
    dropped: int = 0
    provenance: dict[str, Any] = field(default_factory=dict)
    methods: tuple[str, ...] = ()
    part: tuple[Any, ...] = ()
    dtype: str = ""

    def __post_init__(self) -> None:
        if not self.methods:
            object.__setattr__(self, "methods", ("exact",) * len(self.rows))

    def __len__(self) -> int:
        return len(self.rows)

    def per_example(self, sender: Any, receiver: Any, through: str | None = None) -> Float[Tensor, " pair"]:
        """Effects `[pair]` of one row; `through` may be left out where the row has only one."""
        return self.effects[:, self._place(sender, receiver, through)]

    def _place(self, sender: Any, receiver: Any, through: Any) -> int:
        if through is not None:
            through = "".join(sorted(dict.fromkeys(through), key="qkv".find))  # as rows are named; "in" keeps its order
        wanted = (label(sender), label(receiver))
        found = [i for i, row in enumerate(self.rows) if row[:2] == wanted and through in (None, row[2])]
        if len(found) != 1:
            inputs = [row[2] for row in self.rows if row[:2] == wanted]
            raise HCError(
                f"{len(found)} rows are {wanted[0]} -> {wanted[1]} through {through or 'any input'}. "
                + (
                    f"Say one of its inputs: {', '.join(inputs)}."
                    if inputs
                    else "See .to_frame() for the rows there are."
                )
            )
        return found[0]

    @cached_property
    def _frame(self) -> pd.DataFrame:
        effects, total = self.effects.double().numpy(), self.total.double().numpy()
        common = {"clusters": self.sources, "level": self.level, "seed": self.seed}
        mean = bootstrap(effects, **common)
        p = np.atleast_1d(sign_flip_test(effects, clusters=self.sources, seed=self.seed))
        share = ratio_interval(effects, total, **common)
        node = ratio_interval(effects, self.node.double().numpy(), **common)
        response = ratio_interval(self.explained.double().numpy(), self.extent.double().numpy(), **common)
        frame = pd.DataFrame(self.rows, columns=["sender", "receiver", "through"])
        frame = frame.assign(effect=mean.value, low=mean.low, high=mean.high, p=p)
        for name, interval in (("share", share), ("node_share", node), ("response", response)):
            frame[name], frame[f"{name}_low"], frame[f"{name}_high"] = interval.value, interval.low, interval.high
        tested = np.where(self.downstream, p, np.nan)
        return frame.assign(
            q=fdr(tested), n=len(effects), downstream=self.downstream, method=self.methods, dtype=self.dtype
        )

    @classmethod
    def join(cls, parts: Sequence["PathEffects"]) -> "PathEffects":
        """The whole sweep from the results of all its shards, in any order.

        Raises `ResultError` for results that are no shards of one sweep, and where rows are missing or twice there.
        """
        parts = list(parts)
        if not parts or not all(part.part for part in parts):
            raise ResultError(
                f"join was given {len(parts)} results, of which {sum(bool(part.part) for part in parts)} are shards; "
                "expected all shards of one sweep, each from path_effects(..., shard='i/N')."
            )
        first = parts[0]
        for other in parts[1:]:
            same = all(getattr(other, name) == getattr(first, name) for name in _SHARED)
            if not same or other.part[0] != first.part[0] or not _equal(other.total, first.total):
                raise ResultError(
                    f"join was given {first!r} and {other!r}, which are not shards of one sweep: model, pairs or "
                    "settings differ. Join the results of the same call with shard='1/N' to 'N/N'."
                )
        places = [place for part in parts for place in part.part[1]]
        if sorted(places) != list(range(first.part[0])):
            raise ResultError(
                f"join was given {len(set(places))} different rows in {len(places)}; the sweep has {first.part[0]}. "
                "Give every shard once, from '1/N' to 'N/N'."
            )
        order = sorted(range(len(places)), key=places.__getitem__)

        def rows(name: str) -> tuple:
            joined = [item for part in parts for item in getattr(part, name)]
            return tuple(joined[i] for i in order)

        arrays = {
            name: torch.cat([getattr(part, name) for part in parts], dim=1)[:, order]
            for name in ("effects", "node", "explained", "extent")
        }
        return replace(
            first, rows=rows("rows"), downstream=rows("downstream"), methods=rows("methods"), part=(), **arrays
        )

    def to_frame(self) -> pd.DataFrame:
        """A row per path: its mean effect in the metric, on three scales, each with its interval (`_low`, `_high`).

        - `share` of the total: sum of effects / sum of `metric(corrupt) - metric(clean)`; 1 is all that tells the two
          sides apart for the whole model.
        - `node_share`: sum of effects / sum of the receivers' node effects (all their `z`, or an MLP's output, set to
          corrupt at once); 1 is all that the receivers do. For `output` the node effect is the total.
        - `response`: sum of <dz, dz_full> / sum of |dz_full|^2, over pairs, positions and receivers, where `dz` is the
          change that the path makes in the receivers' values and `dz_full` their whole change to corrupt: how much of
          the receiver's own change comes by this path, whatever the output makes of it. NaN for `output`.

        A scale is NaN where the interval of its denominator contains 0; both shares are where the corrupt values do not
        come from pairs. Runs are scored with the clean side's gold, so effects are usually negative and shares positive
        (both negative numbers). Intervals are bootstrap over sources, `p` flips signs over them, `q` is `p` after
        Benjamini-Hochberg over the paths whose receiver is downstream of a sender (`downstream`). `method` is "exact"
        or "estimate": both are ranked together, but an estimate is no measurement (its intervals are the estimate's
        spread over pairs, not its error).
        """
        return self._frame.copy()

    def top(self, k: int = 10) -> pd.DataFrame:
        """The `k` paths of largest |effect|."""
        order = np.argsort(-self._frame["effect"].abs().to_numpy(), kind="stable")
        return self._frame.iloc[order[:k]]

    def __repr__(self) -> str:
        strongest = self.rows[int(self.effects.mean(0).abs().argmax())] if len(self) else ("", "", "")
        return (
            f"PathEffects({len(self)} paths x {len(self.ids)} pairs, route {self.route}, {self.metric}; "
            f"strongest {strongest[0]} -> {strongest[1]} through {strongest[2]})"
        )


_SHARED = ("sources", "ids", "route", "metric", "level", "seed", "dropped", "provenance", "dtype")


def _equal(left: Tensor, right: Tensor) -> bool:
    """Equal up to rounding, NaN where the other is."""
    return left.shape == right.shape and bool(torch.allclose(left, right, atol=1e-4, rtol=1e-4, equal_nan=True))


def label(item: Any) -> str:
    """A sender or receiver, or a group of them, as it stands in a table."""
    if isinstance(item, str) and "+" in item:
        return item
    if isinstance(item, tuple | list | set | frozenset):
        return "+".join(str(component(member)) for member in item)
    return str(component(item))


def empty(n_pairs: int, n_rows: int) -> Tensor:
    return torch.zeros(n_pairs, n_rows, dtype=torch.float64)
