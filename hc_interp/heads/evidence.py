"""Kinds of evidence that a head carries generalization: their registry, and what all of them use.

A kind of evidence is one function in a file of its own. `@evidence("name")` registers it, and
`generalizing_heads(method="name")` calls it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from hc_interp.data.contrast import side
from hc_interp.data.examples import Examples
from hc_interp.data.task import Task
from hc_interp.errors import DataError, HCError
from hc_interp.heads.sets import Heads
from hc_interp.interventions.means import MeanActivations
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.statistics.tests import fdr

N_PERMUTATIONS = 4999  # random relabellings of a permutation test of heads


@dataclass(frozen=True, eq=False)
class EvidenceRequest:
    """What `generalizing_heads` asks of a kind of evidence: the candidates, and the caller's arguments.

    `candidates` are the heads outside the core. `cases` names the cases to look at (None: all of the task's).
    `max_examples` bounds how many examples, or pairs, are looked at. `found` are mask searches or subnetworks, `means`
    the values that ablated heads take; both are None where the caller gave none.
    """

    model: HookedModel
    task: Task
    candidates: Heads
    cases: Sequence[str] | None
    kinds: tuple[str, ...]
    found: Any
    means: MeanActivations | None
    margin: float
    alpha: float
    max_examples: int
    interventions: Sequence[Intervention]
    batch_size: int
    seed: int


@dataclass(frozen=True, eq=False)
class HeadEvidence:
    """The answer of a kind of evidence.

    `table` has a row per candidate, in their order, with at least the columns `p`, `q` and `passes`. `cases` and
    `sources` are the data that was looked at: `reads_from` refuses pairs of these sources.
    """

    table: pd.DataFrame
    cases: tuple[str, ...]
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()


Method = Callable[[EvidenceRequest], HeadEvidence]
METHODS: dict[str, Method] = {}


def evidence(name: str) -> Callable[[Method], Method]:
    """Register a function as `generalizing_heads(method=name)`. Raises `HCError` where another one has the name.

    A function that is defined again under its own name, as when a notebook's cell runs twice, takes its own place.
    """

    def register(function: Method) -> Method:
        before = METHODS.get(name, function)
        if (before.__module__, before.__qualname__) != (function.__module__, function.__qualname__):
            raise HCError(
                f"Evidence {name!r} was registered by {function.__module__}.{function.__qualname__}, but "
                f"{before.__module__}.{before.__qualname__} has that name. Choose another name."
            )
        METHODS[name] = function
        return function

    return register


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
    """A table with `p`, `q` over all heads, and `passes`: q at most `alpha`, and large enough."""
    q = fdr(p)
    return pd.DataFrame(columns).assign(p=p, q=q, passes=(q <= alpha) & large)


def quotas(available: Sequence[int], total: int) -> list[int]:
    """Share `total` over cases as evenly as their sizes allow."""
    left, found = total, [0] * len(available)
    order = sorted(range(len(available)), key=available.__getitem__)
    for done, place in enumerate(order):
        found[place] = min(available[place], left // (len(order) - done))
        left -= found[place]
    return found


def draw(n_rows: int, n: int, name: str, seed: int) -> list[int]:
    """`n` places of `n_rows`, in order; each name draws for itself."""
    rng = np.random.default_rng([seed, crc32(name.encode())])
    return np.sort(rng.choice(n_rows, size=n, replace=False)).tolist()


def case_names(task: Task, cases: Sequence[str] | None) -> list[str]:
    """The cases asked for, as the task spells them; by default all, those of which there are only pairs included."""
    if cases is not None:
        return [task.case_id(name) for name in cases]
    with_pairs = [case for case, _ in task.pairs] if isinstance(task.pairs, Mapping) else []
    return list(dict.fromkeys([*(task.cases or {}), *map(task.case_id, with_pairs)]))


def select_examples(task: Task, cases: Sequence[str] | None, total: int, seed: int) -> dict[str, Examples]:
    """At most `total` examples of the cases, of sources on the select side, drawn by `seed`.

    Raises `DataError` when there are none.
    """
    parts = {}
    for name in [task.case_id(name) for name in cases] if cases is not None else list(task.cases or {}):
        part = task.case(name)
        assert part.source is not None
        parts[name] = part.rows([i for i, source in enumerate(part.source) if side(source) == "select"])
    sizes = quotas([len(part) for part in parts.values()], total)
    found = {
        name: part.rows(draw(len(part), size, name, seed))
        for (name, part), size in zip(parts.items(), sizes, strict=True)
        if size
    }
    if not found:
        raise DataError(
            f"Task {task.name!r} has no examples on the select side of its {len(parts)} cases; this method needs some. "
            "Give the task cases with more sources."
        )
    return found
