"""The three methods of `path_effects`: "exact", "attribution" (only estimates) and "auto" (estimates, then exact)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Integral

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.data.align import PairBatch
from hc_interp.errors import HCError
from hc_interp.patching.effects import nans
from hc_interp.patching.estimate.attribution import Attribution
from hc_interp.patching.estimate.selection import ExactSelection
from hc_interp.patching.general import RowValues
from hc_interp.patching.shards import Block
from hc_interp.patching.sweep import Sweep
from hc_interp.progress import Stage, stage

PATH_METHODS = ("exact", "attribution", "auto")
ARRAYS = ("effects", "node", "explained", "extent")


@dataclass
class Measurements:
    """The values of a sweep by pair and row, pairs in their original order. Values that were not measured are NaN.

    `exact` says for each row whether it was measured exactly.
    """

    n_pairs: int
    n_rows: int
    arrays: dict[str, Tensor] = field(init=False)
    exact: list[bool] = field(init=False)
    total: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.arrays = {name: nans(self.n_pairs, self.n_rows) for name in ARRAYS}
        self.exact = [False] * self.n_rows
        self.total = nans(self.n_pairs, 1)[:, 0]

    def enter(self, part: PairBatch, block: Block) -> None:
        """Enter the values of a block of rows on the pairs of a batch."""
        pairs = part.index.cpu()
        for name, values in block.arrays.items():
            self.arrays[name][pairs[:, None], torch.tensor(block.places)] = values
        assert block.total is not None
        self.total[pairs] = block.total


def check_method(method: str, sweep: Sweep, steps: int) -> None:
    """Raise `HCError` for an unknown method, for `ig_steps` below 1, and for paths that the method cannot estimate."""
    if method not in PATH_METHODS:
        raise HCError(f"method={method!r}; choose one of {', '.join(PATH_METHODS)}.")
    if not isinstance(steps, Integral) or steps < 1:
        raise HCError(f"ig_steps={steps!r} was given. Expected a whole number from 1; 1 is EAP, more are EAP-IG.")
    if method != "exact" and (sweep.route != "direct" or not sweep.fast):
        case = f"route={sweep.route!r}" if sweep.route != "direct" else "these interventions on this model"
        raise HCError(
            f"method={method!r} was asked for {case}; the first-order estimate is of direct paths, in an encoder "
            "classifier or a decoder, under no interventions but Keep, Ablate, SoftMask and Scale. Use method='exact'."
        )
    for row in sweep.rows if method != "exact" else ():
        if any(row.leads(left, right) for left in row.active for right in row.active):
            raise HCError(
                f"method={method!r} was asked for the receivers {row.name[1]} together, of which one reads another. "
                "Step 3 fixes the later receiver, but the gradient at the earlier one also passes through it. Use "
                "method='exact', or receivers that are heads of one layer, or one receiver at a time."
            )


def as_arrays(
    rows: Iterable[tuple[int, RowValues]], indices: Sequence[int], n_pairs: int, progress: Stage
) -> dict[str, Float[Tensor, "pair row"]]:
    """The values that an engine gives row by row, as arrays with a column for each of `indices`."""
    arrays = {name: nans(n_pairs, len(indices)) for name in ARRAYS}
    column_of = {index: column for column, index in enumerate(indices)}
    for index, row_values in rows:
        for name, values in row_values.items():
            arrays[name][:, column_of[index]] = values.double().cpu()
        progress.advance()
    return arrays


def estimate(sweep: Sweep, parts: Sequence[PairBatch], steps: int) -> Measurements:
    """Estimate the effects of all rows on `parts`; `steps` above 1 is EAP-IG.

    The estimate of a row without a downstream receiver is exactly 0.
    """
    result = Measurements(len(sweep.encoded), len(sweep.rows))
    with stage("estimating paths", len(parts)) as progress:
        for part in parts:
            state, pairs = sweep.state(part), part.index.cpu()
            result.total[pairs] = state.total.double().cpu()
            stack = sweep.stack_of(state.paths.batch)
            values = Attribution(stack, state, sweep.rows, steps, sweep.memory_mib).measure()
            result.arrays["effects"][pairs] = values.double().cpu()
            progress.advance()
    return result


def measure_auto(sweep: Sweep, top: float, steps: int, seed: int) -> Measurements:
    """Estimate all rows, then measure those exactly that may be among the `top` share by |effect|."""
    active = [index for index, row in enumerate(sweep.rows) if row.active]
    selection = ExactSelection.of(sweep, top, seed)
    result = estimate(sweep, selection.parts, steps)
    if not active:
        return result
    candidates = selection.candidates(result.arrays["effects"], active)
    pilot = _measure_some(sweep, selection.pilot, candidates, result, nodes=False)
    survivors = selection.survivors(result.arrays["effects"], pilot, candidates, selection.n_top(active))
    rest = _measure_some(sweep, selection.rest, survivors, result)
    for part in selection.pilot:
        for index, values in sweep.exact_engine(sweep.state(part)).node_effects(survivors).items():
            pilot["node"][part.index.cpu(), index] = values.double().cpu()
    for index in survivors:
        for name in ARRAYS:
            column = pilot[name][:, index].where(~pilot[name][:, index].isnan(), rest[name][:, index])
            result.arrays[name][:, index] = column
        result.exact[index] = True
    return result


def _measure_some(
    sweep: Sweep, parts: Sequence[PairBatch], indices: Sequence[int], like: Measurements, *, nodes: bool = True
) -> dict[str, Float[Tensor, "pair row"]]:
    """Exact values of the rows `indices` on the pairs of `parts`; all other values are NaN."""
    result = {name: torch.full_like(values, float("nan")) for name, values in like.arrays.items()}
    with stage("measuring candidates", len(indices) * len(parts)) as progress:
        for part in parts:
            pairs = part.index.cpu()
            rows = sweep.exact_engine(sweep.state(part)).measure(indices, nodes=nodes)
            arrays = as_arrays(rows, indices, len(pairs), progress)
            for name, values in arrays.items():
                result[name][pairs[:, None], torch.tensor(indices)] = values
    return result
