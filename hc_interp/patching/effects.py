"""`PathEffects`: the result of path patching, with a value per pair of sentences and an effect on three scales."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import At, Part, component
from hc_interp.errors import HCError, ResultError
from hc_interp.records.result import Result
from hc_interp.statistics.tests import bootstrap, fdr, ratio_interval, sign_flip_test

PathEndName = str | Part | Collection[str | Part]  # a sender or receiver, or a group of them


@dataclass(frozen=True, eq=False)
class PathEffects(Result):
    """Effects of paths: one row per (sender, receiver, input), one value per pair of sentences.

    - `effects` is `metric(step 3) - metric(clean)`, in the units of the metric.
    - `node` is the node effect of the receivers that are downstream of a sender: the effect of setting all their
      values to corrupt at once. `total` is
      `metric(corrupt) - metric(clean)`. Both are NaN where the corrupt values do not come from pairs.
    - `explained` and `extent` are `<dz, dz_full>` and `|dz_full|^2` of the receivers, summed over positions. `dz` is
      the change of a receiver's value that the path makes, `dz_full` its whole change to corrupt. The response is the
      ratio of their sums over pairs.
    - `downstream` says for each row whether a receiver is downstream of a sender; the effect of other rows is 0.
    - `methods` says for each row whether it is "exact" or an "estimate". An estimate has NaN for `node`, `explained`
      and `extent`.
    - `sources` are the units that the bootstrap resamples. `dropped` counts unaligned pairs that were left out.
    - `part` is empty, or for a shard the number of rows of the whole sweep and the indices of this shard's rows.
    - `dtype` is the floating type that the model computed in.

    An effect is causal on these pairs and this corruption. It does not say that the path is needed, because other paths
    may have the same effect. A route that freezes all other components does not show what passes through them.
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

    def per_example(
        self, sender: PathEndName, receiver: PathEndName, through: str | Sequence[str] | None = None
    ) -> Float[Tensor, " pair"]:
        """The effects of one row. `through` may be left out where sender and receiver have only one row.

        Raises `HCError` unless exactly one row matches.
        """
        return self.effects[:, self._row_index(sender, receiver, through)]

    def _row_index(self, sender: PathEndName, receiver: PathEndName, through: str | Sequence[str] | None) -> int:
        if through is not None:
            through = "".join(sorted(dict.fromkeys(through), key="qkv".find))  # as in row names; "in" keeps its order
        ends = (label(sender), label(receiver))
        matches = [i for i, row in enumerate(self.rows) if row[:2] == ends and through in (None, row[2])]
        if len(matches) != 1:
            inputs = [row[2] for row in self.rows if row[:2] == ends]
            raise HCError(
                f"{len(matches)} rows are {ends[0]} -> {ends[1]} through {through or 'any input'}. "
                + (f"Name one of its inputs: {', '.join(inputs)}." if inputs else "See .to_frame() for all rows.")
            )
        return matches[0]

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
        frame = frame.assign(
            q=fdr(tested), n=len(effects), downstream=self.downstream, method=self.methods, dtype=self.dtype
        )
        if self.at_roles:
            roles = {f"{end}_role": [role_of(name) for name in frame[end]] for end in ("sender", "receiver")}
            frame = frame.assign(**roles)
        return frame

    @property
    def at_roles(self) -> bool:
        """Whether some sender or receiver stands at a role."""
        return any("@" in name for row in self.rows for name in row[:2])

    @classmethod
    def join(cls, parts: Sequence["PathEffects"]) -> "PathEffects":
        """The whole sweep from `parts`, the results of all its shards, given in any order.

        Raises `ResultError` for results that are not shards of one sweep, and where a row is missing or repeated.
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
        indices = [index for part in parts for index in part.part[1]]
        if sorted(indices) != list(range(first.part[0])):
            raise ResultError(
                f"join was given {len(set(indices))} different rows in {len(indices)}; the sweep has {first.part[0]}. "
                "Give every shard once, from '1/N' to 'N/N'."
            )
        order = sorted(range(len(indices)), key=indices.__getitem__)

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
        """A row per path: its mean effect in the metric's units and on three scales, with intervals (`_low`, `_high`).

        - `share`: sum of effects / sum of `metric(corrupt) - metric(clean)`, the total effect. 1 means that the path
          has the whole effect of the corruption on the output.
        - `node_share`: sum of effects / sum of the receivers' node effects (all their `z`, or an MLP's output, set to
          corrupt at once). 1 means that the path has the whole effect of its receivers. The node effect of `output` is
          the total effect.
        - `response`: sum of <dz, dz_full> / sum of |dz_full|^2 over pairs, non-padding positions and receivers. `dz` is
          the change of the receivers' values that the path makes, `dz_full` their whole change to corrupt. The response
          says how much of the receivers' change comes by this path, whatever its effect on the output. It is NaN for
          `output`.

        A scale is NaN where the interval of its denominator contains 0: in rows that are not `downstream`, for example,
        and for receivers that `interventions` remove. With a single source all intervals are NaN. Both shares are NaN
        where the corrupt values do not come from pairs, and `node_share` and `response` of an estimate are NaN. `p` is
        given all the same, because it tests the effect and not a share of it. To mend a NaN: read `effect`, patch
        several receivers jointly, give pairs of more sources, or measure the path exactly. Runs are scored with the
        clean side's gold label: effects and totals are usually negative, and shares, their ratios, positive.

        Where ends of paths stand at roles, `sender_role` and `receiver_role` say at which; "" is all positions.

        Intervals are bootstrap intervals over sources. `p` is a sign-flip test over sources. `q` is `p` after
        Benjamini-Hochberg over the rows with `downstream`. `method` is "exact" or "estimate". The interval of an
        estimate shows its spread over pairs, not its error.
        """
        return self._frame.copy()

    def top(self, k: int = 10) -> pd.DataFrame:
        """The rows of `to_frame` with the `k` largest |effect|, the largest first."""
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
    """Whether two tensors are equal up to rounding; NaN equals NaN."""
    return left.shape == right.shape and bool(torch.allclose(left, right, atol=1e-4, rtol=1e-4, equal_nan=True))


def label(item: PathEndName) -> str:
    """The text of a sender or receiver, or of a group of them, in tables: "L0H1", "L2H0+L2H1"."""
    if isinstance(item, str) and "+" in item:
        return item
    if isinstance(item, tuple | list | set | frozenset):
        return "+".join(str(component(member)) for member in item)
    return str(component(item))  # type: ignore[arg-type]


def role_of(name: str) -> str:
    """The role at which a sender or receiver of a table stands: "subject" of "L0H1@subject", "" of "L0H1".

    Of a group that stands at several roles it is all of these, as in "subject+verb".
    """
    parts = [component(part) for part in name.split("+")]
    return "+".join(dict.fromkeys(part.role if isinstance(part, At) else "" for part in parts))


def nans(n_pairs: int, n_rows: int) -> Float[Tensor, "pair row"]:
    return torch.full((n_pairs, n_rows), float("nan"), dtype=torch.float64)
