"""Kinds of evidence that a head carries generalization: their registry, and the functions that all of them use.

A kind of evidence is one function in a file of its own. `@evidence("name")` registers it, and
`generalizing_heads(method="name")` calls it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from hc_interp.data.contrast import split_of
from hc_interp.data.examples import Examples
from hc_interp.data.task import Task
from hc_interp.errors import DataError, HCError
from hc_interp.evaluation.evaluate import Subnetworks
from hc_interp.heads.sets import Heads
from hc_interp.interventions.means import MeanActivations
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.registry import check_name
from hc_interp.statistics.tests import fdr

N_PERMUTATIONS = 4999  # random relabellings of a permutation test of heads


@dataclass(frozen=True, eq=False)
class EvidenceRequest:
    """The arguments of a kind of evidence: the candidates, and the arguments of `generalizing_heads`.

    `candidates` are the heads outside the core. `cases` names the cases to use (None: all of the task's). `kinds` are
    kinds of contrast pairs. `max_examples` is the largest number of examples, or pairs, to use. `found` are searched
    subnetworks, `means` the values that ablated heads take; both are None where the caller gave none. A head does not
    pass if its effect is below `margin` or its q above `alpha`.
    """

    model: HookedModel
    task: Task
    candidates: Heads
    cases: Sequence[str] | None
    kinds: tuple[str, ...]
    found: Subnetworks | None
    means: MeanActivations | None
    margin: float
    alpha: float
    max_examples: int
    interventions: Sequence[Intervention]
    batch_size: int
    seed: int


@dataclass(frozen=True, eq=False)
class HeadEvidence:
    """The result of a kind of evidence.

    `table` has a row per candidate, in the same order, with at least the columns `p`, `q` and `passes`. `cases` and
    `sources` name the data that was used. `reads_from` refuses pairs of these sources.
    """

    table: pd.DataFrame
    cases: tuple[str, ...]
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()


Method = Callable[[EvidenceRequest], HeadEvidence]
METHODS: dict[str, Method] = {}


def evidence(name: str) -> Callable[[Method], Method]:
    """Register a function as `generalizing_heads(method=name)`. Raises `HCError` if another function has the name.

    A function may replace itself, as when a notebook's cell runs twice.
    """

    def register(function: Method) -> Method:
        check_name("evidence", name, function, METHODS.get(name))
        METHODS[name] = function
        return function

    return register


def named_kinds(kinds: str | Sequence[str]) -> tuple[str, ...]:
    """Kinds of pairs, which may be given as one text: "order,own"."""
    return tuple(kind.strip() for kind in (kinds.split(",") if isinstance(kinds, str) else kinds))


def method_named(name: str) -> Method:
    """The registered function. Raises `HCError` for an unknown name."""
    if name not in METHODS:
        raise HCError(f"method={name!r} was given. Expected one of {', '.join(METHODS)}.")
    return METHODS[name]


def judged(
    columns: dict[str, Float[np.ndarray, " head"]],
    p: Float[np.ndarray, " head"],
    large: Bool[np.ndarray, " head"],
    alpha: float,
) -> pd.DataFrame:
    """The columns with `p`, `q` (Benjamini-Hochberg over heads) and `passes`: `large`, and q at most `alpha`."""
    q = fdr(p)
    return pd.DataFrame(columns).assign(p=p, q=q, passes=(q <= alpha) & large)


def quotas(available: Sequence[int], total: int) -> list[int]:
    """How many examples to take of each case: `total` in all, as evenly as the `available` numbers allow."""
    remaining, sizes = total, [0] * len(available)
    order = sorted(range(len(available)), key=available.__getitem__)
    for done, case in enumerate(order):
        sizes[case] = min(available[case], remaining // (len(order) - done))
        remaining -= sizes[case]
    return sizes


def draw(n_rows: int, n: int, name: str, seed: int) -> list[int]:
    """`n` random row numbers below `n_rows`, ascending. They depend on `name` and `seed` only."""
    rng = np.random.default_rng([seed, crc32(name.encode())])
    return np.sort(rng.choice(n_rows, size=n, replace=False)).tolist()


def case_names(task: Task, cases: Sequence[str] | None) -> list[str]:
    """The ids of the requested cases in the task's spelling (None: all cases, also those with pairs only)."""
    if cases is not None:
        return [task.case_id(name) for name in cases]
    with_pairs = [case for case, _ in task.pairs] if isinstance(task.pairs, Mapping) else []
    return list(dict.fromkeys([*(task.cases or {}), *map(task.case_id, with_pairs)]))


def select_examples(task: Task, cases: Sequence[str] | None, total: int, seed: int) -> dict[str, Examples]:
    """At most `total` examples of the cases by name, drawn by `seed` from sources of the select split.

    Raises `DataError` where the cases have no such examples.
    """
    parts = {}
    for name in [task.case_id(name) for name in cases] if cases is not None else list(task.cases or {}):
        part = task.case(name)
        assert part.source is not None
        parts[name] = part.rows([i for i, source in enumerate(part.source) if split_of(source) == "select"])
    sizes = quotas([len(part) for part in parts.values()], total)
    drawn = {
        name: part.rows(draw(len(part), size, name, seed))
        for (name, part), size in zip(parts.items(), sizes, strict=True)
        if size
    }
    if not drawn:
        raise DataError(
            f"Task {task.name!r} has no examples on the select side of its {len(parts)} cases; this method needs some. "
            "Give the task cases with more sources."
        )
    return drawn
