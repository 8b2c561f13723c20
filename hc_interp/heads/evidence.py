"""What the methods of `generalizing_heads` share: the form of their evidence, and which data they may look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from hc_interp.data.contrast import side
from hc_interp.data.examples import Examples
from hc_interp.data.task import Task
from hc_interp.errors import DataError
from hc_interp.statistics.tests import fdr

N_PERMUTATIONS = 4999  # random relabellings of a permutation test of heads


@dataclass(frozen=True, eq=False)
class HeadEvidence:
    """What a method found: `table`, a row per candidate with at least `p`, `q`, `passes`, and the data it looked at."""

    table: pd.DataFrame
    cases: tuple[str, ...]
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()


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
