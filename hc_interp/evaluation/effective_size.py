"""Effective size: the share of a model's components that must be kept for it to be as accurate as the full model.

Source: "The Heuristic Core" (arXiv 2403.03942), effective size over fine-tuning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from hc_interp.errors import DataError, HCError
from hc_interp.records.result import Result

Key = str | int | float  # a step, seed or sparsity, as a number or as its text
ByCase = Mapping[str, float | None]  # accuracy by case; None: not evaluated
FullAccuracies = Mapping[Key, ByCase] | ByCase
GridAccuracies = Mapping[Key, Mapping[Key, Mapping[Key, ByCase]]] | Mapping[Key, Mapping[Key, ByCase]]

FLOOR = 0.10  # a full model below this accuracy on a case has no ability there that a subnetwork could keep
NOT_RUN = -1.0  # the paper's files have this accuracy where a search was never run or failed
ACCURACY_ROUNDING = 1e-9  # so that 0.80 passes 0.83 - 0.03 in binary floating point


@dataclass(frozen=True, eq=False)
class EffectiveSize(Result):
    """Per seed and step, the smallest size on the grid whose accuracy is within `margin` of the full model's.

    `sizes` has a row per seed and step: seed, step, size (% of components kept), flags, full (the full model's mean
    accuracy), missing (the number of smaller sizes that were not evaluated; one of them might pass). `curve` has a row
    per grid point: seed, step, size, accuracy (mean over `cases`, NaN where not evaluated).

    Flags, joined by ", ":

    - `floor`: the full model's accuracy is below 0.10 on one of the cases. A small size then only means that there was
      nothing to lose.
    - `non_monotone`: a larger size on the grid fails, so the size depends on which sizes the grid has.
    - `grid_edge`: the smallest size of the grid passes, or none does (then size is 100). The size is a bound.

    The size belongs to the subnetworks that a search found. A better search may find smaller ones.
    """

    cases: tuple[str, ...]
    margin: float
    sizes: pd.DataFrame
    curve: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """One row per seed and step: seed, step, size, flags, full, missing."""
        return self.sizes.copy()

    def by_step(self) -> pd.DataFrame:
        """One row per step: step, size (mean over seeds), smallest, largest, seeds, flags (of any of the seeds)."""
        steps = self.sizes.groupby("step", sort=True)
        frame = steps["size"].agg(size="mean", smallest="min", largest="max", seeds="count").reset_index()
        return frame.assign(flags=steps["flags"].agg(_union).to_numpy())

    def __repr__(self) -> str:
        seeds, steps = self.sizes["seed"].nunique(), self.sizes["step"].nunique()
        by_step = self.by_step()
        means = ", ".join(f"{at}: {size:.1f} %" for at, size in zip(by_step["step"], by_step["size"], strict=True))
        return (
            f"EffectiveSize({len(self.cases)} cases, margin {self.margin:g}, {seeds} seeds, {steps} steps)\n"
            f"mean over seeds by step: {means}\ncases: {', '.join(self.cases)}"
        )


def effective_size(
    full: FullAccuracies, grid: GridAccuracies, cases: str | Sequence[str], margin: float = 0.03
) -> EffectiveSize:
    """The smallest size on the grid whose accuracy, the mean over `cases`, is at least the full model's minus `margin`.

    `full[step][case]` and `grid[seed][step][sparsity in %][case]` are accuracies from 0 to 1. Size is 100 - sparsity,
    the % of components kept; it is 100 where no size passes. One checkpoint is given as `full[case]` and
    `grid[seed][sparsity in %][case]`, and its step is called 0. Keys are numbers or their texts, as JSON has them. "/"
    and "-" in a case's name are the same. A grid point with accuracy NaN, None or -1 (the paper's mark) was not
    evaluated: it neither passes nor fails, and the result counts it as missing.

    Raises `DataError` for a step, case or grid that is missing, `HCError` for other arguments.
    """
    cases = (cases,) if isinstance(cases, str) else tuple(cases)
    if not cases:
        raise HCError(
            "No case was given. Expected at least one; pass the case ids whose accuracies are to be averaged."
        )
    if not isinstance(margin, Real) or not 0 <= margin < 1:
        raise HCError(
            f"margin={margin!r} was given. Expected a share of accuracy from 0 to 1, such as 0.03 for 3 points."
        )
    full, grid = _with_steps(full, grid)
    full_by_step = _numbered(full, "full", "step")
    sizes, points = [], []
    for seed, by_step in _numbered(grid, "grid", "seed").items():
        grid_by_step = _numbered(by_step, f"grid[{seed}]", "step")
        _check_steps(set(full_by_step), set(grid_by_step), seed)
        for step, by_sparsity in sorted(grid_by_step.items()):
            whole = _accuracies(full_by_step[step], cases, f"full[{step}]")
            curve = _curve(by_sparsity, cases, f"grid[{seed}][{step}]")
            least = whole.mean() - margin - ACCURACY_ROUNDING
            size, flags = _smallest(
                {at: bool(accuracy >= least) for at, accuracy in curve.items() if accuracy == accuracy}
            )
            flags = ["floor", *flags] if (whole < FLOOR).any() else flags
            missing = sum(at < size and accuracy != accuracy for at, accuracy in curve.items())
            sizes.append((seed, step, size, ", ".join(flags), float(whole.mean()), missing))
            points.extend((seed, step, at, accuracy) for at, accuracy in curve.items())
    return EffectiveSize(
        cases,
        margin,
        pd.DataFrame(sizes, columns=["seed", "step", "size", "flags", "full", "missing"]),
        pd.DataFrame(points, columns=["seed", "step", "size", "accuracy"]),
    )


def _with_steps(full: Any, grid: Any) -> tuple[Any, Any]:
    """`full` and `grid` with the step 0 where they were given without steps, else unchanged."""
    if not isinstance(full, Mapping) or not full or any(isinstance(value, Mapping) for value in full.values()):
        return full, grid
    by_step = {seed: {0: by_sparsity} for seed, by_sparsity in grid.items()} if isinstance(grid, Mapping) else grid
    return {0: full}, by_step


def _smallest(passes: dict[float, bool]) -> tuple[float, list[str]]:
    """The smallest size that passes and its flags. `passes` is by size, in ascending order."""
    passing = [size for size, passed in passes.items() if passed]
    if not passing:
        return 100.0, ["grid_edge"]
    size, flags = passing[0], []
    if any(not passed for larger, passed in passes.items() if larger > size):
        flags.append("non_monotone")
    if size == min(passes):
        flags.append("grid_edge")
    return size, flags


def _curve(by_sparsity: Mapping[Key, ByCase], cases: tuple[str, ...], where: str) -> dict[float, float]:
    """Mean accuracy by size, smallest size first."""
    numbered = _numbered(by_sparsity, where, "sparsity")
    wrong = [sparsity for sparsity in numbered if not (sparsity == 0 or 1 <= sparsity <= 100)]
    if wrong:
        raise DataError(
            f"{where} has sparsity {wrong[0]:g}. Expected the share of components removed in %, 0 to 100; "
            "write 50 for one half."
        )
    curve = {}
    for sparsity in sorted(numbered, reverse=True):
        accuracies = _accuracies(numbered[sparsity], cases, f"{where}[{sparsity:g}]", may_lack=True)
        curve[100.0 - sparsity] = float(accuracies.mean())
    if np.isnan(list(curve.values())).all():
        raise DataError(
            f"{where} has no grid point that was evaluated. Expected accuracies from 0 to 1; run the grid first."
        )
    return curve


def _accuracies(by_case: ByCase, cases: tuple[str, ...], where: str, *, may_lack: bool = False) -> np.ndarray:
    """The accuracies of `cases`. With `may_lack` a case that was not evaluated is NaN, otherwise it is an error."""
    if not isinstance(by_case, Mapping):
        raise DataError(f"{where} is a {type(by_case).__name__}. Expected a mapping from case to accuracy.")
    known = {_same(name): value for name, value in by_case.items()}
    if may_lack and by_case and all(map(_not_run, by_case.values())):
        return np.full(len(cases), np.nan)  # such a grid point need not name the cases
    if missing := [case for case in cases if _same(case) not in known]:
        raise DataError(
            f"{where} has no case {', '.join(map(repr, missing))}. It has {', '.join(map(repr, by_case)) or 'none'}; "
            "ask for cases that every step and grid point holds, or evaluate the missing ones."
        )
    values = [known[_same(case)] for case in cases]
    accuracies = np.array([value if isinstance(value, Real) else np.nan for value in values], dtype=float)
    lacking = np.array([_not_run(value) for value in values])
    if not (((accuracies >= 0) & (accuracies <= 1)) | (lacking & may_lack)).all():
        raise DataError(
            f"{where} has accuracies {values}. Expected numbers from 0 to 1; divide percentages by 100 and evaluate "
            "cases that have none."
        )
    return np.where(lacking, np.nan, accuracies)


def _not_run(value: float | None) -> bool:
    return value is None or value != value or value == NOT_RUN


def _numbered(table: Mapping, where: str, key: str) -> dict:
    """The table with its keys as numbers (ints where they are whole), in the same order."""
    if not isinstance(table, Mapping) or not table:
        raise DataError(
            f"{where} is {'empty' if isinstance(table, Mapping) else 'a ' + type(table).__name__}. Expected a mapping "
            f"with one entry per {key}: full[step][case] and grid[seed][step][sparsity in %][case]."
        )
    numbered = {}
    for name, value in table.items():
        try:
            number = float(name)
            number = int(number) if number.is_integer() else number
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"{where} has the key {name!r} where a {key} was expected, a number or its name. "
                "Expected full[step][case] and grid[seed][step][sparsity in %][case]; check the nesting."
            ) from error
        if number in numbered:
            raise DataError(f"{where} has the {key} {number} twice, as text and as number. Keep one of them.")
        numbered[number] = value
    return numbered


def _check_steps(full: set, grid: set, seed: Key) -> None:
    if full == grid:
        return
    lacks = [f"{name} lacks step {', '.join(map(str, sorted(steps)))}"
             for name, steps in ((f"grid[{seed}]", full - grid), ("full", grid - full)) if steps]  # fmt: skip
    raise DataError(
        f"{' and '.join(lacks)}. Expected the same steps in `full` and for every seed of the grid; "
        "evaluate the missing ones, or drop them on both sides."
    )


def _same(case: str) -> str:
    return str(case).replace("/", "-")


def _union(flags: pd.Series) -> str:
    distinct = {flag for row in flags for flag in row.split(", ") if flag}
    return ", ".join(sorted(distinct, key=["floor", "non_monotone", "grid_edge"].index))
